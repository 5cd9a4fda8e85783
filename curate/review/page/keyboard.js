// Keys: a plain one calls its entry in `plain`, one with Ctrl or Cmd its entry in `commands`, with whether Shift is held.

export function onKeys(plain, commands) {
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const action = event.altKey ? null : (event.ctrlKey || event.metaKey ? commands : plain)[event.key.toLowerCase()];
    if (!action) return;
    if (!event.repeat || event.key.startsWith("Arrow")) action(event.shiftKey);
    event.preventDefault();
  });
}
