import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const prisma6 = fileURLToPath(new URL('../prisma6/', import.meta.url))
const config = fileURLToPath(new URL('schema-engine.config.ts', import.meta.url))
const command = createRequire(path.join(prisma6, 'package.json')).resolve('prisma/build/index.js')

/**
 * What `prisma db push` says about a database: it compares the database with the schema, as `prisma migrate dev` does when
 * it looks for drift, and changes what differs.
 */
export async function pushSchema(databaseUrl: string, schema: 'marketplace' | 'scenarios'): Promise<string> {
  // It runs no program, yet wants to download them unless it is told of some.
  const engine = process.execPath
  const child = spawn(process.execPath, [command, 'db', 'push', '--skip-generate', '--config', config], {
    cwd: prisma6,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      PRISMA_SCHEMA: path.join(prisma6, `generated/${schema}.prisma`),
      PRISMA_SCHEMA_ENGINE_BINARY: engine,
      PRISMA_QUERY_ENGINE_LIBRARY: engine,
      CHECKPOINT_DISABLE: '1',
    },
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk
      // Having said so, it waits for its idle connections for ever.
      if (/is (already|now) in sync/.test(said)) child.kill()
    })
  }
  await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  return said
}
