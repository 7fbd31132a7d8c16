import pg from 'pg'
import type { OwnServer } from '../support/postgres.js'

/** The database of a server of one's own, in the shape in which `createDatabase` hands one over on the shared server. */
export function serverDatabase(server: OwnServer): { readonly pool: pg.Pool; drop(): Promise<void> } {
  const pool = new pg.Pool({ connectionString: server.url() })
  pool.on('error', () => {})
  return {
    pool,
    async drop() {
      await pool.end()
      await server.remove()
    },
  }
}
