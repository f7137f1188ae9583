// After loading, so that an endless picture does not keep the page loading.
addEventListener("load", () => {
  poll();
  temperature();
  setInterval(temperature, 5000);
  setInterval(strips, 5000);
  readSettings();
  setInterval(readSettings, 5000);
  readModels();
  setInterval(readModels, 5000);
  readTeaching();
  const events = new EventSource("/events");
  events.addEventListener("change", event => changed(event.lastEventId, JSON.parse(event.data)));
});
