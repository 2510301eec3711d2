// What bundled code gets for `pg-connection-string`: functions connect with host, port and credentials, never with a
// connection string, so the parser of such strings would only lengthen a cold start.
exports.parse = () => {
  throw new Error('functions do not connect by connection strings');
};
