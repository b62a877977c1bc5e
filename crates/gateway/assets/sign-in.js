// The dialog that asks for a token where the server wants one, and the button in the header by which
// it is forgotten or changed. A token is tried before it is kept.

const at = (id) => document.getElementById(id);

/** Asks for a token when the session needs one. */
export function startSignIn(session) {
  const dialog = at("token-dialog");
  const input = at("token-input");
  const error = at("token-error");
  const button = at("token-button");

  const show = () => {
    const needed = session.isBlocked;
    const held = session.token !== null;
    button.hidden = !held;
    at("token-forget").hidden = !held;
    at("locked").hidden = !needed;
  };
  const say = (text) => {
    error.textContent = text;
    input.toggleAttribute("aria-invalid", text !== "");
  };
  const open = (text = "") => {
    input.value = "";
    say(text);
    if (!dialog.open) dialog.showModal();
    input.focus();
  };

  at("token-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (token === "") return say("Enter the token first.");
    try {
      await session.check(token, "/api/keys?match=-");
    } catch (refusal) {
      input.select();
      return say(reasonOf(refusal));
    }
    session.keep("reader", token);
    input.value = "";
    return dialog.close();
  });
  at("token-cancel").onclick = () => dialog.close();
  at("token-forget").onclick = () => {
    session.keep("reader", null);
    // What was shown by it goes too.
    location.reload();
  };
  button.onclick = () => open();
  at("locked-button").onclick = () => open();

  session.addEventListener("changed", show);
  session.addEventListener("needed", ({ detail }) => {
    show();
    open(detail.refused ? "The server does not know the token that this tab had." : "");
  });
  show();
}

/** A refusal in words for a person. */
export function reasonOf({ status, message }) {
  if (status === 401) return "The server does not know this token.";
  return `${message[0].toUpperCase()}${message.slice(1)}.`;
}
