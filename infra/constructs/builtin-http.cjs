// What bundled code gets for `http`. When an ES module imports it, Node.js reads each of its exports once, and three of
// them load all of undici: 40 ms of a cold start for a client that no function uses. `getBuiltinModule` reads none.
module.exports = process.getBuiltinModule('node:http');
