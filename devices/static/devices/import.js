// Accepts a dropped file, shows at once that a file is too large, and shows progress. The form also works without this
// script: the browser then shows its own progress.
document.querySelectorAll("form[data-working]").forEach((form) => {
  const working = document.getElementById(form.dataset.working);
  const file = form.querySelector("input[type=file]");
  const drop = form.querySelector("[data-drop]");
  const error = document.getElementById("error");

  const setBusy = (busy) => {
    working.hidden = !busy;
    form.querySelectorAll("button").forEach((button) => button.classList.toggle("is-busy", busy));
    form.dataset.busy = busy ? "yes" : "";
  };

  const checkSize = () => {
    const tooLarge = file && file.files[0] && file.files[0].size > Number(form.dataset.limit);
    if (tooLarge) {
      error.textContent = error.dataset.tooLarge;
      file.value = "";
    }
    if (error) error.hidden = !tooLarge;
    return !tooLarge;
  };

  form.addEventListener("submit", (event) => {
    if (form.dataset.busy || !checkSize()) {
      event.preventDefault(); // a second click while the first one is in progress
      return;
    }
    setBusy(true);
  });
  // A user who comes back with the browser's button can use the form again.
  window.addEventListener("pageshow", (event) => event.persisted && setBusy(false));

  if (!drop) return;
  const name = drop.querySelector("[data-name]");
  const choose = () => {
    checkSize();
    name.textContent = file.files[0] ? file.files[0].name : "";
  };
  drop.classList.add("is-enhanced"); // hides the browser's own text, which is not in the language of the page
  file.addEventListener("change", choose);
  ["dragenter", "dragover"].forEach((name) =>
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("is-over");
    }),
  );
  ["dragleave", "drop"].forEach((name) => drop.addEventListener(name, () => drop.classList.remove("is-over")));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    file.files = event.dataTransfer.files;
    choose();
  });
});
