"use strict";
// Asks the API beside this page. Nothing from outside: it works without a network, and every text is
// put into the page as text, never as HTML.

const TEXTS = {
  en: {
    context: "Text", question: "Question", ask: "Ask", example: "Example", metrics: "metrics",
    language: "한국어", keys: "Enter asks; in the text Ctrl or ⌘ with Enter does.",
    empty: "Paste a text, ask about it, and the answer is marked here.",
    needs: "Fill in the text and the question.",
    asking: "Reading …", none: "No answer in this text.",
    found: (ms) => `Answered in ${ms} ms. Choose another answer to see it in the text.`,
    one: (ms) => `Answered in ${ms} ms.`,
    cut: " Only the end of the question was read: it is too long.",
    count: (n) => `${n.toLocaleString("en")} characters`,
    413: "Too long for this server: ", 422: "This cannot be read: ",
    503: "Too many are asking just now. Try again in a few seconds. ",
    504: "It took too long. Ask again, or about a shorter text. ",
    offline: "The server does not answer. Is it still running?", failed: "The server says: ",
    modes: "Ask", collection: "the collection", own: "a text of your own",
    emptyOpen: (n) => `Ask, and the answer is looked for in ${n.toLocaleString("en")} passages.`,
    needsOpen: "Fill in the question.", noneOpen: "No answer in the collection.",
    source: (from, start, end) => `${from}, characters ${start}–${end}`,
    outside: "The reader wrote this answer; it stands nowhere in the text.",
    sample: ["A lighthouse was built on Gull Rock in 1874. Its keeper, Maria Lund, lived there for " +
      "thirty-one years and wrote down the weather every morning.", "Who kept the lighthouse?"],
  },
  ko: {
    context: "본문", question: "질문", ask: "묻기", example: "예문", metrics: "측정값",
    language: "English", keys: "Enter로 질문하고, 본문에서는 Ctrl(⌘)+Enter를 누르세요.",
    empty: "본문을 붙여 넣고 질문하면, 답이 여기에 표시됩니다.",
    needs: "본문과 질문을 모두 입력하세요.",
    asking: "읽는 중 …", none: "이 본문에는 답이 없습니다.",
    found: (ms) => `${ms} ms 만에 찾았습니다. 다른 답을 고르면 본문에서 볼 수 있습니다.`,
    one: (ms) => `${ms} ms 만에 찾았습니다.`,
    cut: " 질문이 너무 길어 끝부분만 읽었습니다.",
    count: (n) => `${n.toLocaleString("ko")}자`,
    413: "이 서버가 받기에는 너무 깁니다: ", 422: "읽을 수 없습니다: ",
    503: "지금 질문이 너무 많습니다. 몇 초 뒤에 다시 시도하세요. ",
    504: "시간이 너무 오래 걸렸습니다. 다시 묻거나 본문을 줄이세요. ",
    offline: "서버가 응답하지 않습니다. 실행 중인지 확인하세요.", failed: "서버의 답: ",
    modes: "찾을 곳", collection: "문서 모음", own: "직접 넣은 본문",
    emptyOpen: (n) => `질문하면 ${n.toLocaleString("ko")}개 단락에서 답을 찾습니다.`,
    needsOpen: "질문을 입력하세요.", noneOpen: "문서 모음에 답이 없습니다.",
    source: (from, start, end) => `${from}, 글자 ${start}~${end}`,
    outside: "리더가 써 낸 답입니다. 본문에는 없습니다.",
    sample: ["통숲가구는 장곡마을에 공장을 세워 1940년부터 돌리고 있다. 회사는 1926년에 산창에서 세워졌다. " +
      "이 회사는 1933년에 첫 제품 미르란 통조림을 내놓았다.", "통숲가구가 처음 내놓은 제품은 무엇인가?"],
  },
};

const at = (id) => document.getElementById(id);
let language = navigator.language.startsWith("ko") ? "ko" : "en";
let maxAnswers = 5;
let passages = 0; // of the collection; 0: there is none
let asked = null; // the request that runs
let source = () => ""; // where the answer that is shown stands
let shown = ["empty"]; // key and argument of the status line, to write it again in another language

const text = (key, ...rest) => {
  const found = TEXTS[language][key];
  return typeof found === "function" ? found(...rest) : found;
};

// Offsets of the API count code points; JavaScript's strings count UTF-16 units, two for an emoji.
const toUnits = (string, codePoints) => {
  let units = 0;
  for (let n = 0; n < codePoints && units < string.length; n++) {
    units += string.codePointAt(units) > 0xffff ? 2 : 1;
  }
  return units;
};
const countCodePoints = (string) => {
  let count = 0;
  for (const _ of string) count++;
  return count;
};

const say = (key, { rest = [], detail = "", bad = false } = {}) => {
  shown = [key, { rest, detail, bad }];
  at("status").textContent = text(key, ...rest) + (typeof detail === "function" ? detail() : detail);
  at("status").classList.toggle("bad", bad);
};

const showCount = () => {
  at("count").textContent = text("count", countCodePoints(at("context").value));
};

const translate = () => {
  document.documentElement.lang = language;
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = text(each.dataset.text);
  at("language").textContent = text("language");
  at("source").textContent = at("source").hidden ? "" : source();
  at("language").lang = language === "ko" ? "en" : "ko";
  showCount();
  say(...shown);
};

const isOpen = () => passages > 0 && at("open").checked;

const fromOf = (answer) => [answer.title, answer.document].filter(Boolean).join(" · ");

const show = (context, answer, isScrolled) => {
  if (answer.start < 0) {  // written, not found
    at("text").replaceChildren(context);
    at("text").hidden = false;
    source = () => text("outside");
    at("source").hidden = false;
    at("source").textContent = source();
    return;
  }
  // What comes from the collection brings its passage.
  const [whole, first, last] = "passage" in answer
    ? [answer.passage, answer.start_in_passage, answer.end_in_passage]
    : [context, answer.start, answer.end];
  const [start, end] = [toUnits(whole, first), toUnits(whole, last)];
  const mark = document.createElement("mark");
  mark.textContent = whole.slice(start, end);
  at("text").replaceChildren(whole.slice(0, start), mark, whole.slice(end));
  at("text").hidden = false;
  source = () => text("source", fromOf(answer), answer.start, answer.end);
  at("source").hidden = !("passage" in answer);
  at("source").textContent = at("source").hidden ? "" : source();
  const [box, place] = [at("text").getBoundingClientRect(), mark.getBoundingClientRect()];
  at("text").scrollTop += place.top - box.top - box.height / 3;
  if (isScrolled) mark.scrollIntoView({ block: "nearest" });
};

const makeAnswer = (context, answer, isFirst) => {
  const [item, button] = [document.createElement("li"), document.createElement("button")];
  const [piece, word, from, share] = Array.from({ length: 4 }, () => document.createElement("span"));
  const bar = document.createElement("progress");
  button.type = "button";
  piece.className = "piece";
  word.className = "answer";
  word.textContent = answer.text;
  piece.append(word);
  if ("passage" in answer) {
    from.className = "from";
    from.textContent = fromOf(answer);
    piece.append(from);
  }
  share.className = "share";
  const percent = 100 * answer.probability;
  share.textContent = percent < 0.1 ? "< 0.1 %" : `${percent.toFixed(percent < 9.95 ? 1 : 0)} %`;
  bar.value = answer.probability;
  bar.setAttribute("aria-hidden", "true");
  button.append(piece, share, bar);
  button.setAttribute("aria-pressed", String(isFirst));
  button.addEventListener("click", () => {
    for (const each of at("answers").querySelectorAll("button")) {
      each.setAttribute("aria-pressed", String(each === button));
    }
    show(context, answer, true);
  });
  item.append(button);
  return item;
};

const showFound = (context, found, ms) => {
  const answers = found.answers;
  const key = answers.length > 1 ? "found" : answers.length ? "one" : isOpen() ? "noneOpen" : "none";
  say(key, { rest: [ms], detail: found.question_was_cut ? () => text("cut") : "" });
  at("answers").replaceChildren(...answers.map((each, i) => makeAnswer(context, each, i === 0)));
  if (answers.length) show(context, answers[0], false);
  const result = at("result");
  if (result.getBoundingClientRect().top > window.innerHeight / 3) result.scrollIntoView();
};

const clear = () => {
  at("answers").replaceChildren();
  at("text").hidden = at("source").hidden = true;
};

const choose = () => {
  asked?.abort();
  asked = null;
  clear();
  at("given").hidden = isOpen();
  say(isOpen() ? "emptyOpen" : "empty", { rest: [passages] });
};

const ask = async () => {
  const [context, question] = [at("context").value, at("question").value];
  const open = isOpen();
  asked?.abort();
  asked = null;
  clear();
  if (!(open || context.trim()) || !question.trim()) {
    say(open ? "needsOpen" : "needs", { bad: true });
    at(open || context.trim() ? "question" : "context").focus();
    return;
  }
  const own = (asked = new AbortController());
  say("asking");
  const started = performance.now();
  try {
    const response = await fetch("answer", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ question, ...(open ? {} : { context }), top_k: maxAnswers }),
      signal: own.signal,
    });
    // What a proxy says, or a server with too many connections, is no JSON.
    const found = await response.json().catch((error) => {
      if (response.ok || error.name === "AbortError") throw error;
      return { error: `HTTP ${response.status}` };
    });
    if (response.ok) showFound(context, found, Math.round(performance.now() - started));
    else say(response.status in TEXTS.en ? response.status : "failed", { detail: found.error, bad: true });
  } catch (error) {
    if (own === asked) say("offline", { bad: true }); // else it was aborted for another question
  }
};

const begin = async () => {
  try {
    const health = await (await fetch("health")).json();
    maxAnswers = Math.min(maxAnswers, health.max_top_k);
    at("model").textContent = health.model;
    passages = health.passages;
    at("modes").hidden = passages === 0;
    if (passages) choose();
  } catch (error) {
    say("offline", { bad: true });
  }
  at("form").hidden = false; // until now nobody could know what is asked
  at(isOpen() ? "question" : "context").focus();
};

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
at("context").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
});
at("context").addEventListener("input", showCount);
at("example").addEventListener("click", () => {
  [at("context").value, at("question").value] = text("sample");
  translate();
  at("question").focus();
});
for (const id of ["open", "own"]) at(id).addEventListener("change", choose);
at("language").addEventListener("click", () => {
  language = language === "ko" ? "en" : "ko";
  translate();
});
translate();
begin();
