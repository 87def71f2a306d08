// The drawings: circles, one line, bars.
function reliabilityFigure(found) {
  const most = Math.max(...found.bins.map((bin) => bin.count));
  const told = (bin) =>
    `${many(bin.count, "question")}: says ${one(100 * bin.probability)}, is right in ${one(100 * bin.right)} % [${one(100 * bin.low)}, ${one(100 * bin.high)}]`;
  const circles = (px, py) =>
    found.bins.flatMap((bin) => [
      s("line", {
        class: "whisker",
        x1: px(100 * bin.probability),
        x2: px(100 * bin.probability),
        y1: py(100 * bin.low),
        y2: py(100 * bin.high),
      }),
      s(
        "circle",
        {
          class: "mark",
          cx: px(100 * bin.probability),
          cy: py(100 * bin.right),
          r: 3 + 11 * Math.sqrt(bin.count / most),
        },
        s("title", {}, told(bin)),
      ),
    ]);
  const after = (px, py) =>
    (found.bins_after || []).map((bin) =>
      s(
        "circle",
        { class: "after", cx: px(100 * bin.probability), cy: py(100 * bin.right), r: 5 },
        s("title", {}, `with the temperature, ${told(bin)}`),
      ),
    );
  const diagonal = (px, py) => [
    s("line", { class: "mean", x1: px(0), y1: py(0), x2: px(100), y2: py(100) }),
  ];
  return plot(
    330,
    310,
    percentAxis("probability that the reader gives, %"),
    percentAxis("right, %"),
    "Share of right answers against the reader's probability",
    diagonal,
    circles,
    after,
  );
}

function shareFigure(found) {
  const low = Math.min(
    90,
    Math.floor(Math.min(...found.points.map((point) => point[1])) / 10) * 10,
  );
  const line = (px, py) => [
    s("polyline", {
      class: "curve",
      points: found.points.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" "),
    }),
  ];
  const threshold = (px, py) =>
    found.answered === null
      ? []
      : [
          s("line", {
            class: "threshold",
            x1: px(found.answered),
            x2: px(found.answered),
            y1: py(low),
            y2: py(100),
          }),
          s(
            "circle",
            { class: "after", cx: px(found.answered), cy: py(found.exact_match_answered), r: 5 },
            s(
              "title",
              {},
              `this run answers ${one(found.answered)} %, exact match ${two(found.exact_match_answered)}`,
            ),
          ),
        ];
  return plot(
    380,
    280,
    percentAxis("questions answered, the surest first, %"),
    percentAxis("exact match among them", low),
    "Exact match against the share of questions answered",
    line,
    threshold,
  );
}

function oddsFigure(found, threshold) {
  const edges = found.edges,
    bars = [found.bars_has_answer, found.bars_no_answer];
  const [low, high, most] = [edges[0], edges[edges.length - 1], Math.max(...bars.flat())];
  const ticks = steps(0, 4, 1).map((i) => Number((low + (i * (high - low)) / 4).toPrecision(3)));
  const top = niceTop(most);
  const drawn = (px, py) =>
    bars.flatMap((counts, which) =>
      counts.map((count, i) =>
        s(
          "rect",
          {
            class: which ? "none" : "has",
            x: px(edges[i]) + (which * (px(edges[1]) - px(edges[0]))) / 2,
            width: Math.max(1, (px(edges[1]) - px(edges[0])) / 2 - 1),
            y: py(count),
            height: Math.max(0, py(0) - py(count)),
          },
          s(
            "title",
            {},
            `${many(count, "question")} that ${which ? "have no answer" : "have an answer"}`,
          ),
        ),
      ),
    );
  const line = (px, py) =>
    threshold === null || threshold < low || threshold > high
      ? []
      : [
          s("line", {
            class: "threshold",
            x1: px(threshold),
            x2: px(threshold),
            y1: py(0),
            y2: py(top),
          }),
        ];
  return plot(
    480,
    240,
    { low, high, ticks, title: "null odds: how far “no answer” is ahead" },
    { low: 0, high: top, ticks: [0, top / 2, top], title: "questions" },
    "Null odds of questions with and without an answer",
    drawn,
    line,
  );
}
function niceTop(most) {
  const size = 10 ** Math.floor(Math.log10(Math.max(1, most)));
  return [2, 4, 6, 8, 10].map((factor) => factor * size).find((top) => top >= most);
}

// A bucket's exact match with its interval, on a line from 0 to 100, and the mean of all.
function intervalFigure(bucket) {
  const x = (value) => 4 + 1.92 * value;
  return s(
    "svg",
    {
      viewBox: "0 0 200 14",
      height: 14,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `exact match ${two(bucket.exact_match)} [${two(bucket.low)}, ${two(bucket.high)}]`,
    },
    s("line", { class: "axis", x1: x(0), x2: x(100), y1: 7, y2: 7 }),
    s("line", {
      class: "mean",
      x1: x(content.exact_match),
      x2: x(content.exact_match),
      y1: 0,
      y2: 14,
    }),
    s("line", { class: "whisker", x1: x(bucket.low), x2: x(bucket.high), y1: 7, y2: 7 }),
    s("ellipse", { class: "mark", cx: x(bucket.exact_match), cy: 7, rx: 4, ry: 4 }),
  );
}
