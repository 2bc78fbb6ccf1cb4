// A live page's socket opens while the page's modules are still on their way: live.js takes it over with all that it has said.
if (window.earlyFeed === undefined) {  // null: the modules were here first
  const { early: pilot } = document.currentScript.dataset, said = [];
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/pilots/${pilot}/`);
  socket.onmessage = ({ data }) => said.push([data, Date.now()]);
  window.earlyFeed = { pilot, socket, said };
}
