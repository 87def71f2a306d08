// Puts the page together.
document.getElementById("head").append(...headSection());
document
  .getElementById("figures")
  .append(
    ...[
      comparisonSection(),
      gainSection(),
      bucketSection(),
      calibrationSection(),
      shareSection(),
      noAnswerSection(),
    ].filter(Boolean),
  );
document.getElementById("search").addEventListener("input", (event) => {
  state.search = event.target.value;
  showQuestions();
});
const order = document.getElementById("order");
order.addEventListener("change", () => {
  state.order = order.value;
  showQuestions();
});
order.hidden = !content.questions.some((each) => each.candidates.length);
if (content.tags.includes("result:wrong")) state.filters.set("result", "result:wrong");
showQuestions();
