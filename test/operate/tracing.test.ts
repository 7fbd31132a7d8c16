import { type Attributes, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'

interface Recorded {
  readonly name: string
  readonly kind: SpanKind | undefined
  readonly root: boolean | undefined
  readonly attributes: Attributes
  status: SpanStatusCode
  ended: boolean
}

let spans: Recorded[]

/** As much of a tracer as the spans here need. */
beforeEach(() => {
  spans = []
  trace.setGlobalTracerProvider({
    getTracer: () => ({
      startSpan: () => {
        throw new Error('spans are started as the active one')
      },
      startActiveSpan: ((name: string, ...more: unknown[]) => {
        const options = more[0] as { kind?: SpanKind; root?: boolean; attributes?: Attributes }
        const work = more.at(-1) as (span: Span) => unknown
        const { kind, root, attributes } = options
        const recorded: Recorded = { name, kind, root, attributes: { ...attributes }, status: 0, ended: false }
        spans.push(recorded)
        const span = {
          setAttribute: (key: string, value: Attributes[string]) => {
            recorded.attributes[key] = value
            return span
          },
          setAttributes: (set: Attributes) => {
            Object.assign(recorded.attributes, set)
            return span
          },
          setStatus: ({ code }: { code: SpanStatusCode }) => {
            recorded.status = code
            return span
          },
          end: () => {
            recorded.ended = true
          },
        } as unknown as Span
        return work(span)
      }) as never,
    }),
  })
})

afterEach(() => trace.disable())

const named = (name: string): Recorded[] => spans.filter((span) => span.name === name)

it('traces requests, transactions of the ledger, scans and imports, without ids or values', async () => {
  const rig = await rigForTest({
    sql: `CREATE TABLE products (id text PRIMARY KEY, title text);
      INSERT INTO products SELECT 'id-to-hide-' || n, 'a value to hide' FROM generate_series(1, 20) n`,
    tables: { 'public.products': { namespace: 'products', fields: { title: true } } },
    settings: { import: { minObjects: 1 } },
  })
  rig.emulator.faults.add({ do: { status: 503 }, when: { path: 'add', times: 1 } })
  await rig.pipeline.backfill({})
  await rig.db.query("INSERT INTO products VALUES ('id-to-hide-0', 'a value to hide')")
  await rig.caughtUp()
  await rig.db.query("INSERT INTO safetykit.dirty (source) VALUES ('public.products')")
  await soon(() => expect(named('safetykit.scan').filter(({ ended }) => ended)).toHaveLength(1))

  const [failed, accepted] = named('safetykit.add')
  expect(failed).toMatchObject({
    status: SpanStatusCode.ERROR,
    attributes: { 'error.type': '503', 'http.response.status_code': 503 },
  })
  expect(accepted).toMatchObject({
    kind: SpanKind.CLIENT,
    // A batch holds the changes of many; no one of their traces is its own.
    root: true,
    status: SpanStatusCode.UNSET,
    attributes: {
      'safetykit.namespace': 'products',
      'safetykit.objects': 1,
      'http.request.method': 'POST',
      'http.request.body.size': expect.any(Number),
      'http.response.status_code': 200,
      'safetykit.request_id': expect.any(String),
      'server.address': '127.0.0.1',
    },
  })
  expect(named('safetykit.record').at(-1)).toMatchObject({
    root: true,
    attributes: { 'safetykit.requests': 1, 'safetykit.objects': 1 },
  })
  expect(named('safetykit.import_part')).toMatchObject([
    { attributes: { 'safetykit.namespace': 'products', 'safetykit.request_id': expect.any(String) } },
  ])
  expect(named('safetykit.import')).toMatchObject([{ kind: SpanKind.CLIENT }])
  expect(named('safetykit.scan')).toMatchObject([
    { attributes: { 'db.collection.name': 'public.products', 'safetykit.rows': 21, 'safetykit.differing': 0 } },
  ])
  await rig.stop()
  expect(spans.filter(({ ended }) => !ended)).toEqual([])
  for (const hidden of ['to-hide', 'to hide', rig.emulator.apiKey]) expect(JSON.stringify(spans)).not.toContain(hidden)
})
