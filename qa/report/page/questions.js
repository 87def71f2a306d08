// The list: what is filtered and searched, and each question with its marks.
const PAGE = 25;
const ONE_OF = ["result", "kind", "group", "outcome", "flip", "change"]; // of these one at a time
const slot = (tag) => {
  const dimension = tag.slice(0, tag.indexOf(":"));
  return ONE_OF.includes(dimension) ? "result" : dimension;
};
const tagNumbers = new Map(content.tags.map((tag, number) => [tag, number]));
const state = { filters: new Map(), search: "", order: "data", shown: PAGE };

function toggleFilter(tag) {
  if (state.filters.get(slot(tag)) === tag) state.filters.delete(slot(tag));
  else state.filters.set(slot(tag), tag);
  showQuestions();
  const list = document.getElementById("list");
  if (matchMedia("(max-width: 1039px)").matches) list.scrollIntoView();
  else list.scrollTop = 0;
}

// The button that was pressed is gone then: who uses a keyboard goes on from the list.
function removeFilter(tag) {
  toggleFilter(tag);
  document.getElementById("list").focus({ preventScroll: true });
}

const searchable = content.questions.map((each) =>
  [each.question, each.prediction, each.before, each.id, ...each.gold]
    .join("\n")
    .normalize("NFC")
    .toLowerCase(),
);
function chosenQuestions() {
  const wanted = [...state.filters.values()].map((tag) => tagNumbers.get(tag));
  const word = state.search.trim().normalize("NFC").toLowerCase();
  const chosen = content.questions.filter(
    (each, i) => wanted.every((tag) => each.tags.includes(tag)) && searchable[i].includes(word),
  );
  const sureness = (each) => (each.candidates.length ? each.candidates[0][1] : 0);
  if (state.order !== "data")
    chosen.sort((a, b) => (state.order === "sure" ? 1 : -1) * (sureness(b) - sureness(a)));
  return chosen;
}

function showQuestions() {
  state.shown = PAGE;
  for (const button of document.querySelectorAll("[data-tag]"))
    button.setAttribute(
      "aria-pressed",
      String(state.filters.get(slot(button.dataset.tag)) === button.dataset.tag),
    );
  const chosen = chosenQuestions();
  const chips = [...state.filters.values()].map((tag) =>
    h(
      "button",
      { type: "button", title: "Remove this filter", onclick: () => removeFilter(tag) },
      `${tagTitle(tag)} ×`,
    ),
  );
  document
    .getElementById("filters")
    .replaceChildren(
      h(
        "span",
        { id: "found", class: "soft" },
        `${chosen.length} of ${many(content.count, "question")}`,
      ),
      ...chips,
    );
  document
    .getElementById("questions")
    .replaceChildren(...chosen.slice(0, state.shown).map(questionCard));
  const more = document.getElementById("more");
  more.hidden = chosen.length <= state.shown;
  more.onclick = () => {
    const cards = chosen.slice(state.shown, state.shown + PAGE).map(questionCard);
    document.getElementById("questions").append(...cards);
    cards[0].querySelector("summary").focus();
    state.shown += PAGE;
    more.hidden = chosen.length <= state.shown;
  };
}

// On paper there is no button: it holds all that are chosen, opened.
const printed = document.getElementById("printed");
addEventListener("beforeprint", () =>
  printed.replaceChildren(...chosenQuestions().map(openedCard)),
);
addEventListener("afterprint", () => printed.replaceChildren());

function openedCard(each) {
  const card = questionCard(each);
  card.querySelector("details").open = true;
  card.querySelector(".context").replaceChildren(...markedText(each, Infinity));
  return card;
}

function questionCard(each) {
  const context = h("p", { class: "context", lang: "" }, ...markedText(each, 60));
  const isAnswered = each.prediction !== null && each.prediction.trim() !== "";
  const said = isAnswered
    ? each.prediction
    : each.prediction === null
      ? "(no prediction)"
      : "(left unanswered)";
  const given = (text) => (text && text.trim() ? text : "(none)");
  const answers = h(
    "dl",
    { class: "answers" },
    h("dt", {}, "gold"),
    h(
      "dd",
      {},
      each.gold.length
        ? h("span", { class: "gold" }, each.gold.join(", "))
        : h("span", { class: "soft" }, "(no answer)"),
    ),
    h("dt", {}, "predicted"),
    h(
      "dd",
      {},
      h("span", { class: isAnswered ? "said" : "soft" }, said),
      h(
        "small",
        {},
        `  ${content.overlap} ${each.overlap.toFixed(2)}${isAnswered && each.candidates.length ? `, probability ${each.candidates[0][1].toFixed(2)}` : ""}`,
      ),
    ),
    ...(content.names.length > 1 ? [h("dt", {}, "before"), h("dd", {}, given(each.before))] : []),
  );
  const rows = each.candidates.map(([text, probability], i) =>
    h(
      "li",
      {},
      text,
      h("small", {}, ` ${probability.toFixed(2)}${each.rank === i + 1 ? "  ✓ right" : ""}`),
    ),
  );
  const beyond =
    each.candidates.length && each.rank === null
      ? h("p", { class: "soft" }, "No candidate is right.")
      : each.rank > content.first
        ? h("p", { class: "soft" }, `The right text is candidate ${each.rank}.`)
        : null;
  const details = h(
    "details",
    {},
    h(
      "summary",
      {},
      rows.length ? `${many(rows.length, "candidate")}, whole context` : "whole context",
    ),
    ...(rows.length ? [h("ol", {}, ...rows)] : []),
    ...(beyond ? [beyond] : []),
    h("small", {}, `id ${each.id}`),
  );
  details.addEventListener("toggle", () =>
    context.replaceChildren(...markedText(each, details.open ? Infinity : 60)),
  );
  return h(
    "article",
    {},
    h(
      "div",
      { class: "line" },
      h("h3", {}, each.question),
      h("span", { class: "kind" }, kindTitles[each.kind]),
    ),
    answers,
    context,
    details,
  );
}
