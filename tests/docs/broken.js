// Returns short words of cells that are broken between two lines.
const found = new Set();
const texts = document.createTreeWalker(document.querySelector("article"), 4);
let seen = 0;
while (texts.nextNode() && seen < 1000) {
  const node = texts.currentNode;
  if (!node.parentElement.closest("td, th")) continue;
  for (const word of node.data.matchAll(/[a-z]{2,10}/gi)) {
    seen += 1;
    const range = document.createRange();
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    const tops = [...range.getClientRects()].map((box) => Math.round(box.top / 4));
    if (new Set(tops).size > 1) found.add(word[0]);
  }
}
return [...found];
