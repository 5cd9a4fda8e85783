// Requests to the server. Everything goes to the page's own origin.

// Undo is per window: each tab has a name of its own, also after it is loaded again.
export const me = sessionStorage.me ??= crypto.randomUUID();

export class Refused extends Error {}
export class Lost extends Error {}

// `fetch` fails with a TypeError where the server does not answer.
const request = (...values) => fetch(...values).catch(() => { throw new Lost(); });

async function answer(response) {
  const values = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) throw new Refused(values.error);
  return values;
}

export const get = async (path, query = {}) => answer(await request(`/api/${path}?${new URLSearchParams(query)}`));

export const post = async (path, values) =>
  answer(await request(`/api/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(values),
  }));

// Calls `changed` with each change of any window, `again` when a lost connection is back, `lost` while it is not.
export function listen(changed, again, lost) {
  const events = new EventSource("/api/events");
  let opened = false;
  events.onmessage = (event) => changed(JSON.parse(event.data));
  events.onopen = () => { if (opened) again(); opened = true; };
  events.onerror = lost;
}
