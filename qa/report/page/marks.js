// The context with the gold answers underlined and the prediction marked, both cut at all their ends.
// Places count code points, JavaScript UTF-16 units: hence Array.from.
function markedText(each, margin) {
  const spans = [...each.golds, ...(each.span ? [each.span] : [])];
  const nodes = [];
  let end = 0,
    any = false;
  for (const [offset, text] of content.contexts[each.context]) {
    const characters = Array.from(text);
    for (const [low, high] of keptRanges(spans, margin, offset, offset + characters.length)) {
      if (low > end) nodes.push(" … ");
      const cuts = [
        ...new Set([low, high, ...spans.flat().filter((cut) => low < cut && cut < high)]),
      ].sort((a, b) => a - b);
      for (let i = 0; i + 1 < cuts.length; i++) {
        const inside = (span) => span[0] <= cuts[i] && cuts[i + 1] <= span[1];
        const names = [
          ...(each.golds.some(inside) ? ["gold"] : []),
          ...(each.span && inside(each.span) ? ["said"] : []),
        ];
        const part = characters.slice(cuts[i] - offset, cuts[i + 1] - offset).join("");
        nodes.push(names.length ? h("span", { class: names.join(" ") }, part) : part);
      }
      [end, any] = [high, true];
    }
    if (margin !== Infinity && any && end < offset + characters.length) {
      nodes.push(" … ");
      end = offset + characters.length;
    }
  }
  return nodes;
}

// What of a piece is shown: all of it, or the surroundings of what is marked.
function keptRanges(spans, margin, low, high) {
  const wide = spans.length
    ? spans.map(([a, b]) => [a - margin, b + margin])
    : [[low, low + 2 * margin]];
  const kept = [];
  for (const [a, b] of wide.sort((x, y) => x[0] - y[0])) {
    const [from, to] = [Math.max(low, a), Math.min(high, b)];
    if (from >= to) continue;
    if (kept.length && from <= kept[kept.length - 1][1])
      kept[kept.length - 1][1] = Math.max(kept[kept.length - 1][1], to);
    else kept.push([from, to]);
  }
  return kept;
}
