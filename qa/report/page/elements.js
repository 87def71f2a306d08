// Elements; whatever comes from the data goes in as text, never as markup.
const content = JSON.parse(document.getElementById("content").textContent);
const SVG = document.getElementById("empty").namespaceURI;

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(
    ...children
      .filter((child) => child !== null)
      .map((child) => (child.nodeType ? child : String(child))),
  );
  return element;
}
const h = (name, attributes, ...children) =>
  fill(document.createElement(name), attributes, children);
const s = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

// Numbers in %, with two digits as the command lines have them. These round an exact half to the
// even neighbour, toFixed away from 0.
function fixed(value, digits) {
  const isHalf = Number.isInteger(value * 2 ** (digits + 1)) && !Number.isInteger(value * 2 ** digits);
  if (!isHalf) return value.toFixed(digits);
  const below = Math.floor(Math.abs(value) * 10 ** digits);
  return ((Math.sign(value) * (below + (below % 2))) / 10 ** digits).toFixed(digits);
}
const two = (value) => (value === null ? "–" : fixed(value, 2));
const one = (value) => (value === null ? "–" : fixed(value, 1));
const plus = (value) => (value > 0 ? `+${fixed(value, 2)}` : two(value));
const many = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
const signed = (value) => (value >= 0 ? "+" : "") + fixed(value, 2);

// What a tag "dimension:name" is called where people read it.
const kindTitles = Object.fromEntries(content.kinds.map((kind) => [kind.kinds[0], kind.title]));
const divisionTitles = Object.fromEntries(
  content.buckets.map((each) => [each.dimension, each.title]),
);
function tagTitle(tag) {
  const [dimension, name] = [tag.slice(0, tag.indexOf(":")), tag.slice(tag.indexOf(":") + 1)];
  if (dimension === "kind") return kindTitles[name] || name;
  if (dimension === "group") return `all ${name.replace(" ", "-")} errors`;
  if (dimension === "reach") return `right text in the first ${content.first}`;
  if (dimension === "change")
    return name
      .split(">")
      .map((kind) => kindTitles[kind] || kind.replaceAll("_", " "))
      .join(" → ");
  return divisionTitles[dimension] ? `${divisionTitles[dimension]}: ${name}` : name;
}

function filterButton(tag, attributes, ...children) {
  return h(
    "button",
    {
      type: "button",
      "data-tag": tag,
      "aria-pressed": "false",
      ...attributes,
      onclick: () => toggleFilter(tag),
    },
    ...children,
  );
}
const section = (id, title, ...children) => h("section", { id }, h("h2", {}, title), ...children);
const table = (head, rows) =>
  h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...head.map((cell) => h("th", { scope: "col" }, cell)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, cell))))),
  );
