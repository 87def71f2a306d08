// What a probability is worth, and how many questions to answer.
function calibrationSection() {
  const found = content.calibration;
  if (!found) return null;
  const error = (value) => value.toFixed(3);
  const mended =
    found.temperature === null
      ? "No temperature is offered: there are too few questions, or none makes the error smaller."
      : `Dividing scores by a temperature of ${found.temperature} brings the error from ${error(found.before)} to ${error(found.after)} (open circles). It was fitted on the questions about every other context; both figures are of the other questions.`;
  const bins = found.bins.map((bin) => [
    bin.count,
    one(100 * bin.probability),
    one(100 * bin.right),
    `[${one(100 * bin.low)}, ${one(100 * bin.high)}]`,
  ]);
  return section(
    "calibration",
    "Does a probability mean what it says?",
    h(
      "div",
      { class: "pair" },
      h("figure", {}, reliabilityFigure(found)),
      h(
        "div",
        { style: "flex:1 1 220px" },
        h("p", {}, `Expected calibration error: ${error(found.error)}`),
        h(
          "p",
          { class: "soft" },
          `${many(found.count, "question")}, in ten bins. On the diagonal, an answer that is given 80 % is right in 80 of 100 cases; below it the reader is too sure. Larger circles hold more questions.`,
        ),
        h("p", { class: "soft" }, mended),
        h(
          "details",
          {},
          h("summary", {}, "As a table"),
          table(["n", "says %", "right %", "interval"], bins),
        ),
      ),
    ),
  );
}

function shareSection() {
  const found = content.share_answered;
  if (!found) return null;
  const rows = found.at.map(([share, match]) => [`${one(share)} %`, two(match)]);
  if (found.answered !== null)
    rows.push([`this run: ${one(found.answered)} %`, two(found.exact_match_answered)]);
  return section(
    "share",
    "How many questions to answer",
    h(
      "div",
      { class: "pair" },
      h("figure", {}, shareFigure(found)),
      h(
        "div",
        { style: "flex:1 1 180px" },
        table(["answered", "exact match"], rows),
        h(
          "p",
          { class: "soft" },
          `In the order of ${found.by === "probability" ? "the probability" : "the null odds"}.` +
            (found.threshold === null
              ? ` This run answers ${found.by === "probability" ? "every" : "no"} question.`
              : ` Dashed: the threshold, null odds of ${found.threshold.toFixed(3)}.`),
        ),
      ),
    ),
  );
}
