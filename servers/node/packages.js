/**
 * Where the packages come from: node_modules beside this file or, if that folder cannot be written (an installed
 * wheel), the folder that WIRELAB_NODE_PACKAGES names. `import` looks beside the importing file only, so they are
 * required here, and everybody else imports them from here.
 */

import { createRequire } from "node:module";
import { join } from "node:path";

const elsewhere = process.env.WIRELAB_NODE_PACKAGES;
const require = createRequire(elsewhere ? join(elsewhere, "package.json") : import.meta.url);

export const express = require("express");
export const { Sender, WebSocket, WebSocketServer } = require("ws");
export const socketIo = require("socket.io");
/** Its own, wherever npm has put them. */
const requireOfSocketIo = createRequire(require.resolve("socket.io"));
export const socketIoParser = requireOfSocketIo("socket.io-parser");
export const { Server: EngineServer } = requireOfSocketIo("engine.io");
