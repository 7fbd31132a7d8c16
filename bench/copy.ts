import { spawn } from 'node:child_process'
import { openSync } from 'node:fs'

/** What the benchmarks' mapping reads. */
export const mappedColumns = 'id, title, description, price, currency, seller_id, tags, attributes, created_at'

/** Seconds that `psql` takes to write all mapped columns of the table to /dev/null, by COPY: the measure of a walk. */
export async function copySeconds(url: string): Promise<number> {
  const sql = `COPY (SELECT ${mappedColumns} FROM products) TO STDOUT`
  const began = performance.now()
  const child = spawn('psql', [url, '--no-psqlrc', '--quiet', '--command', sql], {
    stdio: ['ignore', openSync('/dev/null', 'w'), 'inherit'],
  })
  const code = await new Promise((resolve, reject) => {
    child.once('error', () => reject(new Error('psql is not installed: apt-get install postgresql-client')))
    child.once('exit', resolve)
  })
  if (code !== 0) throw new Error(`psql ended with ${String(code)}`)
  return (performance.now() - began) / 1000
}
