import { BlockList, isIPv4 } from 'node:net';

/** Whether two IPv4 address ranges, such as `10.16.0.0/16`, have an address in common. What is no range overlaps nothing. */
export function rangesOverlap(one: string, other: string): boolean {
  // Of two ranges that meet, one lies in the other.
  return holdsStartOf(one, other) || holdsStartOf(other, one);
}

function holdsStartOf(range: string, other: string): boolean {
  const [address = '', bits] = range.split('/');
  const [start = '', otherBits] = other.split('/');
  if (!isIPv4(address) || !isIPv4(start) || !isPrefix(bits) || !isPrefix(otherBits)) return false;
  const addresses = new BlockList();
  addresses.addSubnet(address, Number(bits));
  return addresses.check(start);
}

const isPrefix = (bits: string | undefined): boolean => /^(?:\d|[12]\d|3[0-2])$/.test(bits ?? '');
