// Socket.IO with its Redis adapter: renders one HTML fragment per message, emits it to the
// room, then stores it with XADD. Started by make bench with NODE_PATH and two arguments.
const { createServer } = require("http");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");

const [port, redisUrl] = process.argv.slice(2);
let number = 0;

const fragment = (body) =>
  `<hx-upsert hx-target="#messages" key="data-id" sort><li id="m-${++number}" data-id="${number}" ` +
  `class="message" data-author="u-guest"><b class="message__author">Guest</b> ` +
  `<time datetime="2026-01-01T12:00:00Z">12:00</time>` +
  `<div class="message__body"><p>${body}</p></div></li></hx-upsert>`;

async function main() {
  const store = createClient({ url: redisUrl });
  const subscriber = store.duplicate();
  await Promise.all([store.connect(), subscriber.connect()]);
  const http = createServer();
  const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false });
  io.adapter(createAdapter(store, subscriber));
  io.on("connection", (socket) => {
    socket.on("join", (room) => {
      socket.join(room);
      socket.emit("joined", room);
    });
    socket.on("text", ({ room, msg, time }) => {
      io.to(room).emit("message", fragment(msg));
      store.xAdd(`stream:${room}`, "*", { name: "Guest", msg, time });
    });
  });
  http.listen({ port: Number(port), host: "127.0.0.1", backlog: 2048 });
}

main();
