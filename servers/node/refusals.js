/**
 * Why a request cannot be met: each kind with its HTTP status and the code that closes a WebSocket for it.
 * The message tells the client what to mend.
 */

export class Refused extends Error {
  constructor(detail, headers = {}) {
    super(detail);
    this.headers = headers;
  }

  get status() {
    return this.constructor.status;
  }

  get closeCode() {
    return this.constructor.closeCode;
  }
}

const kind = (status, closeCode) =>
  class extends Refused {
    static status = status;
    static closeCode = closeCode;
  };

export const BadRequest = kind(400, 1007);
export const Forbidden = kind(403, 1008);
export const NotFound = kind(404, 1008);
export const MethodNotAllowed = kind(405, 1008);
export const TooLate = kind(408, 1008);
export const TooLarge = kind(413, 1009);
export const WrongMediaType = kind(415, 1003);
export const Misdirected = kind(421, 1008);
export const KeyReused = kind(422, 1008);
export const UpgradeRequired = kind(426, 1002);
export const NotImplemented = kind(501, 1003);
export const Full = kind(503, 1013);

/** The server stops, and another may soon be in its place: the client is to come back at once. */
export class Stopping extends Full {
  constructor() {
    super("The server is stopping; try again, there may be another in its place.", { "Retry-After": "1" });
  }
}
