// Socket.IO on Engine.IO's polling. The twin of clients/socketio_polling.py; engine.js has the rest.

import { EngineSubscriber } from "./engine.js";
import LongPollSubscriber from "./long_poll.js";

export default class SocketIoPollingSubscriber extends EngineSubscriber {
  static transport = "socketio-polling";
  static engine = "polling";
  static theory = LongPollSubscriber.theory;
}
