// The article's example, as it is printed: on each connection the server greets everybody. `PORT=3000 node server.cjs`

const express = require("express");

const app = express();

const http = require("http").Server(app);

const socketIO = require("socket.io")(http);
const PORT = process.env.PORT || 3000;

app.use(express.static(__dirname + "/public"));

socketIO.on("connection", () => {
  socketIO.emit("welcome", "web Socket Works");
});

http.listen(PORT, () => {
  console.log(`app is listening to port ${http.address().port}`);
});
