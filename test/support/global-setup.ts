import type { TestProject } from 'vitest/node'
import { ownServer } from './server.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** A superuser's URL of the server that all test files share. */
    postgresUrl: string
  }
}

let stop: () => Promise<void> = async () => {}

/** One PostgreSQL for the whole run: `TEST_DATABASE_URL`, or a container (`TEST_POSTGRES=container`), or the embedded one. */
export async function setup(project: TestProject): Promise<void> {
  const existing = process.env.TEST_DATABASE_URL
  if (existing !== undefined && existing !== '') {
    project.provide('postgresUrl', existing)
  } else if (process.env.TEST_POSTGRES === 'container') {
    project.provide('postgresUrl', await startContainer())
  } else {
    const server = await ownServer()
    stop = () => server.remove()
    project.provide('postgresUrl', server.url())
  }
}

export async function teardown(): Promise<void> {
  await stop()
}

interface Container {
  getConnectionUri(): string
  stop(): Promise<unknown>
}

interface Testcontainers {
  PostgreSqlContainer: new (image: string) => { withCommand(command: string[]): { start(): Promise<Container> } }
}

async function startContainer(): Promise<string> {
  const name = '@testcontainers/postgresql'
  const { PostgreSqlContainer } = await import(name).then(
    (module: Testcontainers) => module,
    (cause: unknown) => {
      throw new Error(`TEST_POSTGRES=container needs ${name}. Run: npm i -D ${name}@11`, { cause })
    },
  )
  const settings = [
    'wal_level=logical',
    'max_wal_senders=40',
    'max_replication_slots=40',
    'max_connections=300',
    'fsync=off',
  ]
  const container = await new PostgreSqlContainer('postgres:18')
    .withCommand(['postgres', ...settings.flatMap((setting) => ['-c', setting])])
    .start()
  stop = async () => {
    await container.stop()
  }
  return container.getConnectionUri()
}
