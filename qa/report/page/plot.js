// The frame of a drawing: two axes and their grid; marks are given the places of values.
function plot(width, height, x, y, label, ...marks) {
  const left = 38,
    bottom = 34,
    top = 16,
    right = 16;
  const px = (value) => left + ((value - x.low) / (x.high - x.low)) * (width - left - right);
  const py = (value) =>
    height - bottom - ((value - y.low) / (y.high - y.low)) * (height - bottom - top);
  const grid = [
    ...x.ticks.map((tick) =>
      s("text", { x: px(tick), y: height - bottom + 15, "text-anchor": "middle" }, tick),
    ),
    ...y.ticks.flatMap((tick) => [
      s("line", { class: "axis", x1: left, x2: width - right, y1: py(tick), y2: py(tick) }),
      s("text", { x: left - 5, y: py(tick) + 4, "text-anchor": "end" }, tick),
    ]),
    s("text", { x: (left + width) / 2, y: height - 3, "text-anchor": "middle" }, x.title),
    s(
      "text",
      {
        x: 10,
        y: (height - bottom) / 2,
        "text-anchor": "middle",
        transform: `rotate(-90 10 ${(height - bottom) / 2})`,
      },
      y.title,
    ),
  ];
  return s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    ...grid,
    ...marks.flatMap((mark) => mark(px, py)),
  );
}
const steps = (low, high, step) =>
  Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
const percentAxis = (title, low = 0) => ({
  low,
  high: 100,
  ticks: steps(low, 100, low ? 10 : 20),
  title,
});
