// What bundled code gets for `http`. Imported by an ES module, Node.js reads each of its exports once, and three of them
// load all of undici: 40 ms of a cold start, for a client that nobody uses. Required, they are left alone.
module.exports = process.getBuiltinModule('node:http');
