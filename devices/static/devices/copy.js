// Copies the text that a button names by data-copies, and says so on the button.
document.querySelectorAll("[data-copies]").forEach((button) => {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent.trim());
    button.textContent = button.dataset.done;
  });
});
