// The sections of the left column, each a button or a drawing for what it says.
function headSection() {
  const scores = content.scores[content.scores.length - 1];
  const cards = scores
    .slice(0, 2)
    .map((row) =>
      h(
        "div",
        { class: "card" },
        h("div", { class: "soft" }, `${row.score} ${row.key}`),
        h("b", { "data-score": row.key }, two(row.value)),
        h("div", { class: "soft" }, `[${row.interval.map(two).join(", ")}]`),
      ),
    );
  const rows = content.scores.flatMap((table, which) =>
    table.map((row) => [
      ...(content.names.length > 1 ? [content.names[which]] : []),
      `${row.score} ${row.key}`,
      two(row.value),
      `[${row.interval.map(two).join(", ")}]`,
    ]),
  );
  const head = [...(content.names.length > 1 ? ["file"] : []), "score", "%", "95 % interval"];
  const left = content.left_out
    ? `; ${many(content.left_out, "question")} ${content.is_part ? "that do not count for both" : "without a prediction"} left out`
    : "";
  return [
    h("h1", {}, content.names.length > 1 ? content.names.join(" → ") : content.names[0]),
    h(
      "p",
      { class: "soft" },
      `${many(content.count, "question")} of ${content.data}${left}. In brackets: 95 % bootstrap intervals.`,
    ),
    h("div", { class: "cards" }, ...cards),
    h("details", {}, h("summary", {}, "All scores"), table(head, rows)),
  ];
}

function gainSection() {
  const errors = content.kinds.filter((kind) => kind.gain > 0);
  if (!errors.length)
    return section(
      "gains",
      "What would help most",
      h("p", {}, "Nothing: every question is right."),
    );
  const hasCandidates = content.ceiling !== null,
    most = errors[0].gain;
  const bar = (kind) =>
    h(
      "span",
      { class: "bar", "aria-hidden": "true" },
      h("i", { class: "reach", style: `width:${(100 * kind.reachable) / most}%` }),
      h("i", { style: `width:${(100 * (kind.gain - kind.reachable)) / most}%` }),
    );
  const reach = (kind) =>
    hasCandidates
      ? `; of ${many(kind.reachable_count, "question")} the right text is in the first ${content.first}`
      : "";
  const rows = errors.map((kind) =>
    filterButton(
      `kind:${kind.kinds[0]}`,
      { class: "row", title: kind.explanation + reach(kind) },
      h("span", {}, kind.title),
      bar(kind),
      h("span", {}, plus(kind.gain)),
      h("span", {}, two(kind.exact_match)),
      h("span", {}, kind.count),
    ),
  );
  const rights = content.kinds
    .filter((kind) => kind.gain === 0)
    .map((kind) =>
      filterButton(
        `kind:${kind.kinds[0]}`,
        { title: kind.explanation },
        `${kind.title}: ${kind.count} (${one(kind.share)} %)`,
      ),
    );
  const groups = Object.entries(content.groups)
    .filter(([, gain]) => gain.kinds.length > 1)
    .map(([name, gain]) =>
      filterButton(
        `group:${name}`,
        {},
        `All ${name.replace(" ", "-")} errors mended: ${two(gain.exact_match)} (${plus(gain.gain)})`,
      ),
    );
  const second = hasCandidates
    ? [
        filterButton(
          "reach:in the first candidates",
          {},
          `Choosing rightly among the first ${content.first} candidates: ${two(content.ceiling)} (${plus(content.ceiling - content.exact_match)})`,
        ),
      ]
    : [];
  return section(
    "gains",
    "What would help most",
    h(
      "p",
      { class: "soft" },
      `${content.measure} is ${two(content.exact_match)}${content.is_part ? ` over the ${many(content.count, "question")} that count for both` : ""}. If all errors of one kind were mended, it would be as follows. Click a kind to read its questions.`,
    ),
    hasCandidates
      ? h(
          "p",
          { class: "soft" },
          h("span", { class: "key", style: "background:var(--strong)" }),
          ` the right text is among the reader's first ${content.first} candidates  `,
          h("span", { class: "key", style: "background:var(--weak)" }),
          " it is not",
        )
      : null,
    h(
      "div",
      { class: "row titles" },
      h("span", {}, "kind of error"),
      h("span", { class: "bar" }),
      h("span", {}, "gain"),
      h("span", {}, "mended"),
      h("span", {}, "n"),
    ),
    ...rows,
    h("div", { class: "groups" }, ...second, ...groups),
    h("div", { class: "groups" }, ...rights),
  );
}

function bucketSection() {
  const parts = content.buckets
    .filter((division) => division.rows.length > 1)
    .flatMap((division) => [
      h("h4", {}, division.title),
      ...division.rows.map((bucket) =>
        filterButton(
          `${division.dimension}:${bucket.name}`,
          { class: `row bucket${bucket.count < 30 ? " few" : ""}` },
          h("span", {}, bucket.name),
          h("span", {}, bucket.count),
          intervalFigure(bucket),
          h("span", {}, `${one(bucket.exact_match)} [${one(bucket.low)}, ${one(bucket.high)}]`),
          h("span", {}, two(bucket.lost)),
        ),
      ),
    ]);
  return section(
    "buckets",
    "Where points are lost",
    h(
      "p",
      { class: "soft" },
      "Exact match of each group with its interval; dotted: all questions. The last column is how many points of the whole exact match the group loses; a column adds up to what is missing. Groups of fewer than 30 questions are grey: they prove little.",
    ),
    h(
      "div",
      { class: "row bucket titles" },
      h("span", {}, "group"),
      h("span", {}, "n"),
      h("span", { class: "bar" }),
      h("span", {}, "exact match"),
      h("span", {}, "lost"),
    ),
    ...parts,
  );
}
