// The article's example, as it is printed: on each connection the server greets everybody. `PORT=3000 node server.cjs`
// One thing differs: it listens on this machine alone unless HOST names another address (0.0.0.0: all of them).

const express = require("express");

const app = express();

const http = require("http").Server(app);

const socketIO = require("socket.io")(http);
const PORT = process.env.PORT || 3000;
const HOST = process.env.HOST || "127.0.0.1";

app.use(express.static(__dirname + "/public"));

socketIO.on("connection", () => {
  socketIO.emit("welcome", "web Socket Works");
});

http.listen(PORT, HOST, () => {
  console.log(`app is listening to port ${http.address().port}`);
});
