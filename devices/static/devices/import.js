// Lets a file be dropped, tells at once if it is too large, and shows that something is going on. Without this script
// the same form works: the browser shows its own signs of going on.
document.querySelectorAll("form[data-working]").forEach((form) => {
  const working = document.getElementById(form.dataset.working);
  const file = form.querySelector("input[type=file]");
  const drop = form.querySelector("[data-drop]");
  const wrong = document.getElementById("wrong");

  const rest = (busy) => {
    working.hidden = !busy;
    form.querySelectorAll("button").forEach((button) => button.classList.toggle("at-work", busy));
    form.dataset.busy = busy ? "yes" : "";
  };

  const fits = () => {
    const tooLarge = file && file.files[0] && file.files[0].size > Number(form.dataset.limit);
    if (tooLarge) {
      wrong.textContent = wrong.dataset.tooLarge;
      file.value = "";
    }
    if (wrong) wrong.hidden = !tooLarge;
    return !tooLarge;
  };

  form.addEventListener("submit", (event) => {
    if (form.dataset.busy || !fits()) {
      event.preventDefault(); // a second click while the first is at work
      return;
    }
    rest(true);
  });
  // Whoever comes back by the browser's button finds a form that works.
  window.addEventListener("pageshow", (event) => event.persisted && rest(false));

  if (!drop) return;
  const name = drop.querySelector("[data-name]");
  const choose = () => {
    fits();
    name.textContent = file.files[0] ? file.files[0].name : "";
  };
  drop.classList.add("is-enhanced"); // the browser's own words are in its language, not in the page's
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
