import { type ClientCaptureParts, clientCapture } from './capture/client/client-capture.js'
import type { ResolvedSync } from './config/resolved.js'
import type { RuntimeModel } from './config/source.js'
import { Events } from './events.js'
import type { SafetyKit } from './extension/api.js'
import { consoleLogger } from './extension/console-logger.js'
import { isWrite, type Operation, type Transaction } from './extension/operation.js'
import type { Extension, ExtensionOptions } from './extension/options.js'
import { WakeBurst } from './extension/wake-burst.js'
import { Worker } from './extension/worker.js'
import { silentLogger } from './logger.js'

export interface ExtensionParts {
  readonly resolved: ResolvedSync
  readonly models: ReadonlyMap<string, RuntimeModel>
  readonly options: ExtensionOptions
}

/** What is used of the client that is extended. */
interface ParentClient {
  $extends(extension: object): unknown
  $connect(): Promise<void>
  $disconnect(): Promise<void>
}

/**
 * The extension: it starts the worker at the first operation, wakes it after a write, and answers questions. All that needs
 * a database or the API is loaded when it is first used, so that a configuration is light to import.
 */
export function createExtension<Known>(parts: ExtensionParts): Extension<Known> {
  return ((client: ParentClient) => extend(client, parts)) as unknown as Extension<Known>
}

function extend(parent: ParentClient, { resolved, models, options }: ExtensionParts): unknown {
  const logger = options.logger === false ? silentLogger : (options.logger ?? consoleLogger(options.apiKey))
  const events = new Events(logger)
  const worker = new Worker({
    start: async (tell, signal) =>
      (await import('./extension/start.js')).start({ resolved, options, logger, events, tell, signal }),
    stopTimeoutMs: options.stopTimeoutMs ?? 10_000,
    logger,
    events,
  })
  const burst = new WakeBurst(() => worker.wake())
  const answers = once(async () =>
    (await import('./extension/answers.js')).openAnswers({ parent, resolved, models, options, worker, logger }),
  )
  const capture =
    resolved.capture === 'client'
      ? clientCapture({
          parent,
          schema: resolved.schema,
          tables: async () => (await answers.get()).clientTables(),
          strict: resolved.strict,
          onMissed: (error) => worker.tell(error),
          onCommitted: () => worker.wake(),
        })
      : null
  const hook = hookOf({ resolved, worker, burst, capture })

  return parent.$extends({
    name: 'safetykit',
    query: hook === null ? {} : { $allOperations: hook },
    client: {
      ...capture?.client,
      $safetykit: {
        status: async (...asked) => (await answers.get()).status(...asked),
        statuses: async (...asked) => (await answers.get()).statuses(...asked),
        requests: async (...asked) => (await answers.get()).requests(...asked),
        resend: async (...asked) => (await answers.get()).resend(...asked),
        retry: async (...asked) => (await answers.get()).retry(...asked),
        flush: async (...asked) => (await answers.get()).flush(...asked),
        on: (event, listener) => events.on(event, listener),
      } satisfies SafetyKit<Record<string, unknown>>,
      async $connect() {
        if (resolved.capture !== 'replication') worker.ensure()
        await parent.$connect()
      },
      async $disconnect() {
        burst.stop()
        await worker.stop()
        const opened = answers.forget()
        if (opened !== null) await (await opened).close()
        await parent.$disconnect()
      },
    },
  })
}

interface HookParts {
  readonly resolved: ResolvedSync
  readonly worker: Worker
  readonly burst: WakeBurst
  readonly capture: ClientCaptureParts | null
}

type Hook = (operation: Operation) => PromiseLike<unknown>

/** What is done around every operation; nothing where another process captures and delivers. */
function hookOf({ resolved, worker, burst, capture }: HookParts): Hook | null {
  if (resolved.capture === 'replication') return null
  const run = capture === null ? waking(worker, burst) : capture.query.$allOperations
  if (resolved.strict) return (operation) => worker.ready().then(() => run(operation))
  return (operation) => {
    worker.ensure()
    return run(operation)
  }
}

/** The triggers capture; the worker is woken for what they have noted. */
function waking(worker: Worker, burst: WakeBurst): Hook {
  return (operation) => {
    const { args, query, __internalParams } = operation
    const transaction = __internalParams.transaction
    if (isWrite(operation)) return afterwards(query(args), () => woken(transaction))
    burst.again(transaction)
    return query(args)
  }

  function woken(transaction: Transaction | undefined): void {
    if (transaction?.kind === 'itx') burst.begin(transaction)
    else worker.wake()
  }
}

async function afterwards(result: PromiseLike<unknown>, then: () => void): Promise<unknown> {
  const value = await result
  then()
  return value
}

/** Made when it is first needed, and once more after it was forgotten. */
function once<T>(make: () => Promise<T>): { get(): Promise<T>; forget(): Promise<T> | null } {
  let made: Promise<T> | null = null
  return {
    get() {
      made ??= make().catch((error: unknown) => {
        made = null
        throw error
      })
      return made
    },
    forget() {
      const forgotten = made
      made = null
      return forgotten
    },
  }
}
