// The `ws` package: renders one HTML fragment per message and sends it to each viewer of the room.
// No Redis, no history, no sign-in. Compresses for a client that offers it, with the defaults of
// the package. Started by make bench with NODE_PATH and a port.
const { WebSocketServer } = require("ws");

const rooms = new Map();
let number = 0;

const fragment = (body) =>
  `<hx-upsert hx-target="#messages" key="data-id" sort><li id="m-${++number}" data-id="${number}" ` +
  `class="message" data-author="u-guest"><b class="message__author">Guest</b> ` +
  `<time datetime="2026-01-01T12:00:00Z">12:00</time>` +
  `<div class="message__body"><p>${body}</p></div></li></hx-upsert>`;

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  backlog: 4096,
  perMessageDeflate: true,
});

server.on("connection", (socket) => {
  let watched;
  socket.on("message", (data) => {
    const frame = JSON.parse(data);
    if (frame.type === "watch") {
      watched = rooms.get(frame.room) ?? rooms.set(frame.room, new Set()).get(frame.room);
      watched.add(socket);
      socket.send("<p>watching</p>");
    } else {
      const text = fragment(frame.body);
      for (const viewer of rooms.get(frame.room)) viewer.send(text);
    }
  });
  socket.on("close", () => watched?.delete(socket));
});
