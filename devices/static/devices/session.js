// Warns before a session ends without activity, and keeps a form whose session has ended: "Save" then saves nothing and
// leaves the page as it is until the user has signed in again in another tab. Nothing is stored in the browser except
// the time of the last request, so that several tabs agree. Without this script the sign-in page explains what happened.
(() => {
  const IDLE = 30 * 60; // SESSION_COOKIE_AGE in seconds: devices/tests/admin/test_sign_in.py compares the two
  const WARNING = 2 * 60;
  const LAST_REQUEST = "devices.lastRequest";
  const TEXTS = {
    en: {
      soon: "You will be signed out in two minutes, because there was no activity.",
      stay: "Stay signed in",
      ended: "You are no longer signed in. Your entries are still on this page: sign in in a new tab, then save again.",
      signIn: "Sign in in a new tab",
    },
    id: {
      soon: "Sesi Anda berakhir dalam dua menit karena tidak ada aktivitas.",
      stay: "Tetap masuk",
      ended: "Sesi Anda sudah berakhir. Isian Anda masih ada di sini: masuk di tab baru, lalu simpan lagi.",
      signIn: "Masuk di tab baru",
    },
  };
  const texts = TEXTS[document.documentElement.lang] || TEXTS.en;
  let bar = null;
  let endedAt = 0; // when this page last found that the session has ended

  const noteRequest = () => localStorage.setItem(LAST_REQUEST, Date.now());
  const lastRequest = () => Number(localStorage.getItem(LAST_REQUEST)); // 0 after a sign-out, which clears the storage
  const address = (path) => new URL(path, document.getElementById("logout-form").action).href;

  const hide = () => {
    bar?.remove();
    bar = null;
  };

  const show = (text, control) => {
    if (bar?.dataset.text === text) return;
    hide();
    bar = document.createElement("div");
    bar.className = "session-bar";
    bar.dataset.text = text;
    bar.setAttribute("role", "alert");
    const words = document.createElement("p");
    words.textContent = text;
    bar.append(words, control);
    document.body.prepend(bar);
  };

  const showEnded = () => {
    endedAt = Date.now();
    const link = document.createElement("a");
    link.textContent = texts.signIn;
    link.href = address("../login/");
    link.target = "_blank";
    show(texts.ended, link);
  };

  // Returns the current CSRF token, which a new sign-in changes, or null if the session has ended.
  const renew = async () => {
    const response = await fetch(address("../password_change/"), { cache: "no-store", redirect: "manual" });
    if (response.type === "opaqueredirect") return null;
    if (!response.ok) throw new Error(response.statusText);
    noteRequest();
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    return page.querySelector("#logout-form [name=csrfmiddlewaretoken]").value;
  };

  const showSoon = () => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = texts.stay;
    button.addEventListener("click", () => renew().then((token) => (token ? hide() : showEnded()), hide));
    show(texts.soon, button);
  };

  const tick = () => {
    const last = lastRequest();
    const idle = last ? (Date.now() - last) / 1000 : 0;
    const isEnded = bar?.dataset.text === texts.ended && last <= endedAt; // no request of another tab since then
    if (idle >= IDLE) showEnded();
    else if (isEnded) return;
    else if (idle >= IDLE - WARNING) showSoon();
    else hide();
  };

  const checkBeforeSaving = (form) => {
    let isChecked = false;
    form.addEventListener("submit", async (event) => {
      if (isChecked) return;
      event.preventDefault();
      const button = event.submitter;
      try {
        const token = await renew();
        if (token === null) return showEnded();
        form.querySelector("[name=csrfmiddlewaretoken]").value = token;
      } catch {
        // no connection: let the browser show it
      }
      isChecked = true;
      form.requestSubmit(button);
    });
  };

  addEventListener("DOMContentLoaded", () => {
    if (!document.getElementById("logout-form")) return; // not signed in
    noteRequest();
    setInterval(tick, 10_000);
    addEventListener("visibilitychange", tick); // timers of a phone stop while it is locked
    addEventListener("storage", tick);
    document.querySelectorAll("form.warn-unsaved-form").forEach(checkBeforeSaving);
  });
})();
