// Copies the text of the element in data-copies, and shows this on the button.
document.querySelectorAll("[data-copies]").forEach((button) => {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent.trim());
    button.textContent = button.dataset.done;
  });
});
