// Shows the buttons that need this script: they copy the text of the element in data-copies, and show this on the button.
// Buttons with data-shares open the share menu of the phone or computer with this text.
document.querySelectorAll("[data-copies]").forEach((button) => {
  const shown = document.getElementById(button.dataset.copies);
  const copy = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    getSelection().selectAllChildren(shown); // over plain HTTP there is no clipboard: select the text to copy by hand
    throw new Error("no clipboard");
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const text = shown.textContent.trim();
    const done = () => (button.textContent = button.dataset.done);
    copy("withoutSpaces" in shown.dataset ? text.replace(/\s/g, "") : text).then(done, () => {});
  });
});

document.querySelectorAll("[data-shares]").forEach((button) => {
  button.hidden = !navigator.share;
  button.addEventListener("click", () => navigator.share({ text: button.dataset.shares }).catch(() => {}));
});
