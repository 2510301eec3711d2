import type pg from 'pg';

/**
 * Works over a connection of its own, which is closed afterwards.
 * @throws {Error} what the work throws; when the server refuses the connection; the failure of a query whose server ends
 */
export async function overConnection<T>(
  connection: pg.ClientConfig,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  // Most commands import the platform's index and never connect.
  const { default: driver } = await import('pg');
  const client = new driver.Client(connection);
  // A server that ends between two queries fails the next one; without a listener the event would end the platform.
  client.on('error', () => {});
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}
