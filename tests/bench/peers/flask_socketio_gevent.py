"""The original chat's stack: Flask-SocketIO on gevent, one worker, Redis as message queue.

Like the original it renders nothing: a dict of name, message and time goes to the room and the
browser makes the HTML. It emits first and stores afterwards with XADD, as the original did.
The listener has TCP_NODELAY, as under gunicorn, where the original ran: without it small frames
wait up to 40 ms for each other.
"""

from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402
import sys  # noqa: E402

import redis  # noqa: E402
from flask import Flask  # noqa: E402
from flask_socketio import SocketIO, emit, join_room  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402
from geventwebsocket.handler import WebSocketHandler  # noqa: E402

port, redis_url = int(sys.argv[1]), sys.argv[2]

app = Flask(__name__)
app.config["SECRET_KEY"] = "bench"
socketio = SocketIO(app, async_mode="gevent", message_queue=redis_url, transports=["websocket"])
store = redis.Redis.from_url(redis_url)


@socketio.on("join")
def join(room):
    """Watch a room."""
    join_room(room)
    emit("joined", room)


@socketio.on("text")
def text(data):
    """Send a message to everyone in the room, then store it in the room's stream."""
    message = {"name": "Guest", "msg": data["msg"], "time": data["time"]}
    emit("message", message, to=data["room"])
    store.xadd(f"stream:{data['room']}", message, maxlen=1000, approximate=True)


def listener():
    """Return the listening socket, whose accepted connections inherit its options."""
    sock = socket.create_server(("127.0.0.1", port), backlog=2048)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


if __name__ == "__main__":
    WSGIServer(listener(), app, handler_class=WebSocketHandler, log=None).serve_forever()
