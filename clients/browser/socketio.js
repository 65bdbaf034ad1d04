// Socket.IO on Engine.IO's WebSocket. The twin of clients/socketio.py; engine.js has the rest.

import { EngineSubscriber } from "./engine.js";
import WebSocketSubscriber from "./websocket.js";

export default class SocketIoSubscriber extends EngineSubscriber {
  static transport = "socketio";
  static engine = "websocket";
  static theory = WebSocketSubscriber.theory;
}
