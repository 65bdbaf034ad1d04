// A follower by npm's own client: writes each batch as a line of JSON. Arguments: URL, stream, engine.
const { io } = require("socket.io-client");

const [url, stream, transport] = process.argv.slice(2);
let cursor;
const socket = io(url, {
  transports: [transport],
  reconnectionDelay: 50,
  reconnectionDelayMax: 100,
  // A function, so that who comes back resumes.
  auth: (tell) => tell(cursor === undefined ? { stream } : { stream, after: cursor }),
});
socket.on("batch", (batch) => {
  cursor = batch.cursor;
  console.log(JSON.stringify(batch));
});
socket.on("connect_error", (error) => console.log(JSON.stringify({ refused: error.message, data: error.data })));
process.stdin.on("data", (line) => {
  socket.emit("publish", JSON.parse(line), (answer) => console.log(JSON.stringify({ answer })));
});
