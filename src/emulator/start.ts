import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './answer.js'
import { answerOf, readHalf, write, writeHalf } from './answering.js'
import { prepareApiCall } from './api-calls.js'
import type { Context } from './call.js'
import { answerControl } from './control.js'
import type { Emulator, EmulatorOptions } from './emulator.js'
import { evaluateByWords } from './evaluate.js'
import { Faults } from './faults.js'
import { InFlight } from './in-flight.js'
import { describe } from './requests.js'
import { type CallName, routeOf } from './route.js'
import { UrlSigner } from './signed-url.js'
import { prepareStorageCall, requestAt, resultsPath, uploadPath } from './storage-calls.js'
import { Store } from './store.js'
import { eventsOf } from './webhook-events.js'
import { Webhooks } from './webhooks.js'

const maxViolations = 1_000

/**
 * Starts a local SafetyKit: all calls of the Data API, strict where the API is strict.
 *
 * - One request may hold an id twice: both are accepted, and the last wins.
 * - A wrong content type of an upload is 403, as object storage answers when a signed header differs; a body without
 *   `Content-Length` is 411, an `Authorization` header 400, an expired or forged URL 403.
 * - One bad line of an upload makes the whole import `failed`, with the numbers of the lines in `error`.
 * - An import is `ingesting` from its complete upload on. When it has been processed its objects land: they become the
 *   latest state, over whatever was accepted meanwhile. A second upload to the same URL changes nothing.
 * - An object whose evaluation failed is in no result; `workflow.failed` tells of it, and the request's own `failed` where
 *   none succeeded.
 * - While a request waits for a fault's latency, a client that goes away takes it along: it is not accepted.
 *
 * It also answers questions over HTTP, without a key, for when it runs in a process of its own; `connectEmulator` is the
 * client for these:
 *
 * | | |
 * |---|---|
 * | `GET /emulator/namespaces` | `["products"]` |
 * | `GET /emulator/objects/{namespace}?limit=1000&after={id}` | `{ "objects": [StoredObject], "next": id or null }` |
 * | `GET /emulator/objects/{namespace}/{id}` | `StoredObject`, or 404 |
 * | `GET /emulator/history/{namespace}/{id}` | `[StoredObject]` |
 * | `GET /emulator/settings/{namespace}` | the schema, or 404 |
 * | `GET /emulator/requests?namespace=…` | `[StoredRequest]` |
 * | `GET /emulator/deletion-requests` | `[StoredDeletion]` |
 * | `GET /emulator/stats` | `EmulatorStats` |
 * | `GET /emulator/violations` | `["…"]` |
 * | `GET /emulator/faults` | `[{ "id", "fault", "hits" }]` |
 * | `POST /emulator/faults` with a `Fault` | `{ "id" }`, or 400 |
 * | `DELETE /emulator/faults/{id}`, `DELETE /emulator/faults` | `{}` |
 * | `POST /emulator/imports/hold` | `{}` |
 * | `POST /emulator/imports/release/{requestId}`, `POST /emulator/imports/release` | `{ "released": 1 }` |
 * | `POST /emulator/imports/expire-urls/{requestId}`, `POST /emulator/imports/expire-urls` | `{}` |
 * | `GET /emulator/webhooks` | `[WebhookDelivery]` |
 * | `PUT /emulator/webhooks` with `WebhookOptions`, `DELETE /emulator/webhooks` | `{}`, or 400 |
 * | `POST /emulator/webhooks/hold`, `POST /emulator/webhooks/release` | `{}` |
 * | `POST /emulator/webhooks/deliver` with `["msg_…"]` | `{}` when they were answered, or 400 |
 * | `POST /emulator/reset` | `{}` |
 *
 * @example
 * const emulator = await startEmulator()
 * emulator.faults.add({ when: { path: 'add', times: 3 }, do: { status: 429, retryAfter: '1' } })
 * // … run what is to be tested against emulator.url with emulator.apiKey …
 * emulator.object('products', '42')
 * await emulator.close()
 */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const { port = 0, host = '127.0.0.1', apiKey = 'sk_emulator' } = options
  const { processingMs = 20 } = options
  let url = ''
  const webhooks = new Webhooks()
  webhooks.configure(options.webhook ?? null)
  const store = new Store({
    keepHistory: options.keepHistory ?? true,
    keepObjects: options.keepObjects ?? true,
    processingMs,
    importProcessingMs: options.importProcessingMs ?? processingMs,
    evaluate: options.evaluate ?? evaluateByWords,
    onProcessed: (request) => webhooks.send(eventsOf(request, url)),
  })
  const faults = new Faults()
  for (const fault of options.faults ?? []) faults.add(fault)
  const violations: string[] = []
  let calls = noCalls()
  let statuses: Record<number, number> = {}
  const hanging = new Set<ServerResponse>()

  const violation = (text: string): void => {
    if (violations.length < maxViolations) violations.push(text)
  }
  const inFlight = new InFlight((namespace, id) => {
    violation(`${namespace}/${id} was in two requests in flight at once`)
  })
  const signer = new UrlSigner()
  const context: Context = {
    store,
    signer,
    apiKey,
    maxBodyBytes: options.maxBodyBytes ?? 5 * 1024 * 1024,
    uploadTtlMs: options.uploadTtlMs ?? 12 * 60 * 60 * 1000,
    origin: () => url,
    violation,
  }

  const send = (response: ServerResponse, answer: Answer, how = write): Promise<void> => {
    statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
    return how(response, answer)
  }

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2)
    if (path.startsWith('/emulator/'))
      return write(response, await answerControl(emulator, faults, request, path, query))

    const route = routeOf(request.method ?? '', path)
    if ('status' in route) {
      request.resume()
      return send(response, route)
    }
    calls[route.call] += 1
    response.once('close', () => hanging.delete(response))
    const isStorage = route.call === 'upload' || route.call === 'results'
    if (route.call === 'upload') {
      const namespace = requestAt(context, { route, path })?.namespace ?? ''
      const { action } = faults.hitEarly({ call: route.call, namespace, ids: [] })
      if (action !== null) return readHalf(request)
    }
    // Not of an upload: whatever else is sent meanwhile, its objects land when the import has been processed.
    const flight = isStorage ? null : inFlight.begin()
    if (flight !== null) response.once('close', () => inFlight.end(flight, true))
    const prepare = isStorage ? prepareStorageCall : prepareApiCall
    const call = await prepare(context, { route, request, path, query })
    if (flight !== null) inFlight.hold(flight, call.namespace, call.ids)

    const namespace = call.namespace === '' ? route.namespace : call.namespace
    const { latencyMs, action } = faults.hit({ call: route.call, namespace, ids: call.ids })
    if (latencyMs > 0) await sleep(latencyMs, undefined, { ref: false })
    if (response.destroyed) return
    const answer = answerOf(route.call, call, action)
    // Before it is sent: the client's next request may be here before this connection says that it was.
    if (answer === 'hang') return void hanging.add(response)
    if (flight !== null) inFlight.end(flight, false)
    if (answer === 'reset') return void request.socket.resetAndDestroy()
    await send(response, answer, action !== null && 'resetMidway' in action ? writeHalf : write)
  }

  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    // The one rejection is a client that went away while its body was read or its answer was sent.
    serve(request, response).catch((error: unknown) => {
      if (!response.destroyed) response.destroy(error instanceof Error ? error : undefined)
    })
  })

  const emulator: Emulator = {
    get url() {
      return url
    },
    apiKey,
    namespaces: () => store.namespaces(),
    objects: (namespace) => store.objects(namespace),
    object: (namespace, id) => store.objects(namespace).get(id),
    history: (namespace, id) => store.history(namespace, id),
    requests: (namespace) => {
      const all = [...store.requests()]
      const wanted = namespace === undefined ? all : all.filter((request) => request.namespace === namespace)
      return wanted.map((request) => describe(request, store.statusOf(request)))
    },
    settings: (namespace) => store.settings.get(namespace),
    settingsCalls: () => store.settingsCalls,
    deletionRequests: () => [...store.deletions],
    get stats() {
      const { acceptedObjects, importCounts: imports, settingsCalls } = store
      return { calls: { ...calls }, acceptedObjects, imports, settingsCalls, statuses: { ...statuses } }
    },
    get violations() {
      return [...violations]
    },
    faults: { add: (fault) => faults.add(fault), clear: () => faults.clear() },
    imports: {
      hold: () => store.holdImports(),
      release: (requestId) => store.releaseImports(requestId),
      expireUrls(requestId) {
        if (requestId === undefined) return signer.expire()
        const objectKey = store.request(requestId)?.objectKey
        if (objectKey !== undefined) signer.expire(uploadPath(objectKey))
        signer.expire(resultsPath(requestId))
      },
    },
    webhooks: {
      deliveries() {
        store.settle()
        return webhooks.list()
      },
      configure: (webhook) => webhooks.configure(webhook),
      hold: () => webhooks.hold(),
      release: () => webhooks.release(),
      deliver: (...ids) => webhooks.deliver(ids),
    },
    reset() {
      store.clear()
      webhooks.clear()
      faults.clear()
      violations.length = 0
      calls = noCalls()
      statuses = {}
      for (const response of hanging) response.destroy()
    },
    close: () =>
      new Promise((resolve) => {
        webhooks.stop()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  url = `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`
  return emulator
}

function noCalls(): Record<CallName, number> {
  return { add: 0, import: 0, upload: 0, status: 0, results: 0, settings: 0, deletion: 0 }
}
