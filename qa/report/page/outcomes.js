// Questions without an answer, and two readers beside one another.
function noAnswerSection() {
  const found = content.no_answer;
  if (!found) return null;
  const outcomes = ["right", "wrong", "unanswered"];
  const row = (title, name, counts) => [
    title,
    ...outcomes.map((outcome) => filterButton(`outcome:${name}, ${outcome}`, {}, counts[outcome])),
  ];
  const threshold = content.share_answered ? content.share_answered.threshold : null;
  return section(
    "no_answer",
    "Questions without an answer",
    table(
      ["questions that", "answered rightly", "answered wrongly", "left unanswered"],
      [row("have an answer", "has answer", found.has_answer), row("have none", "no answer", found.no_answer)],
    ),
    ...(found.edges.length
      ? [
          h(
            "figure",
            {},
            oddsFigure(found, threshold),
            h(
              "figcaption",
              {},
              h("span", { class: "key", style: "background:var(--strong)" }),
              " with an answer  ",
              h("span", { class: "key", style: "background:var(--other)" }),
              " without; dashed: the threshold, right of which questions are left unanswered",
            ),
          ),
        ]
      : []),
  );
}

function comparisonSection() {
  const found = content.comparison;
  if (!found) return null;
  const flips = Object.entries(found.flips).map(([flip, count]) =>
    filterButton(`flip:${flip}`, {}, `${flip}: ${count}`),
  );
  const rows = Object.entries(found.differences).map(([key, each]) => [
    key,
    signed(each.difference),
    `[${signed(each.low)}, ${signed(each.high)}]`,
    each.p_value.toFixed(4),
  ]);
  const changes = found.kinds
    .filter(([before, after]) => before !== after)
    .sort((a, b) => b[2] - a[2]);
  const title = (kind) => kindTitles[kind] || kind.replaceAll("_", " ");
  const befores = [...new Set(found.kinds.map((each) => each[0]))],
    afters = [...new Set(found.kinds.map((each) => each[1]))];
  const count = (before, after) =>
    (found.kinds.find((each) => each[0] === before && each[1] === after) || [0, 0, 0])[2];
  const cell = (before, after) =>
    count(before, after) ? filterButton(`change:${before}>${after}`, {}, count(before, after)) : "";
  return section(
    "comparison",
    "What changed",
    h(
      "p",
      { class: "soft" },
      `From ${content.names[0]} to ${content.names[1]}, the same questions.`,
    ),
    h("div", { class: "groups" }, ...flips),
    table(["second minus first", "points", "95 % interval", "p"], rows),
    h(
      "p",
      { class: "soft" },
      "p: paired sign-flip test, two-sided; for exact match McNemar's exact test.",
    ),
    h(
      "details",
      {},
      h(
        "summary",
        {},
        `Kinds before (rows) and after (columns): ${many(
          changes.reduce((sum, each) => sum + each[2], 0),
          "question",
        )} changed`,
      ),
      table(
        ["", ...afters.map(title)],
        befores.map((before) => [title(before), ...afters.map((after) => cell(before, after))]),
      ),
    ),
  );
}
