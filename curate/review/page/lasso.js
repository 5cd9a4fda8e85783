// A frame that is dragged over a grid selects the photos that it touches.

const MIN_DRAG = 6; // px, below it is a click

export function lasso(area, select) {
  let from = null;
  let frame = null;
  const place = (event) => {
    const origin = area.getBoundingClientRect();
    return [event.clientX - origin.left + area.scrollLeft, event.clientY - origin.top + area.scrollTop];
  };
  area.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && event.pointerType === "mouse" && event.target.closest(".grid")) from = place(event);
  });
  area.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = place(event);
    if (!frame) {
      if (Math.hypot(to[0] - from[0], to[1] - from[1]) < MIN_DRAG) return;
      frame = document.createElement("div");
      frame.className = "lasso";
      area.append(frame);
    }
    frame.style.left = `${Math.min(from[0], to[0])}px`;
    frame.style.top = `${Math.min(from[1], to[1])}px`;
    frame.style.width = `${Math.abs(to[0] - from[0])}px`;
    frame.style.height = `${Math.abs(to[1] - from[1])}px`;
  });
  const end = () => {
    if (frame) {
      const inside = frame.getBoundingClientRect();
      const touched = [...area.querySelectorAll(".tile .picture")].filter((picture) => {
        const box = picture.getBoundingClientRect();
        return box.left < inside.right && box.right > inside.left && box.top < inside.bottom && box.bottom > inside.top;
      });
      select(touched.map((picture) => Number(picture.closest(".tile").dataset.row)));
      frame.remove();
      // The click that ends the drag opens no photo.
      area.addEventListener("click", (event) => event.stopPropagation(), { capture: true, once: true });
      setTimeout(() => area.dispatchEvent(new Event("click")));
    }
    from = frame = null;
  };
  window.addEventListener("pointerup", end);
  window.addEventListener("pointercancel", end);
}
