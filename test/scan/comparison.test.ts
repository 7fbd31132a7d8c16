import { expect, test } from 'vitest'
import { scanRig } from './rig.js'

const source = 'public.products'

test('objects are told apart whatever stands beside them: in step, unknown, different, refused, twice', async () => {
  const rig = await scanRig({
    sql: `CREATE TABLE products (id integer PRIMARY KEY, title text); INSERT INTO products SELECT i, 't' || i FROM generate_series(1, 6) AS i`,
    tables: { [source]: { namespace: 'products', fields: { title: true } } },
  })
  await rig.mark(source)
  await rig.scan()
  await rig.deliver({ refuse: (id) => id === '6' })
  const { rows } = await rig.db.query<{ object_id: string; fingerprint: string }>(
    'SELECT object_id, fingerprint FROM safetykit.objects ORDER BY object_id',
  )
  const prints = new Map(rows.map((row) => [row.object_id, row.fingerprint]))
  const differing = (objects: readonly (readonly [id: string, fingerprint: string | null])[]) =>
    rig.comparison.differing(
      'products',
      objects.map(([id]) => id),
      objects.map(([, fingerprint]) => fingerprint),
    )
  const of = (id: string) => [id, prints.get(id) ?? 'none'] as const

  expect(await differing([])).toEqual(new Map())
  expect(await differing([of('1'), of('5'), of('3')])).toEqual(new Map())
  expect(await differing([of('7'), of('8')])).toEqual(new Map([0, 1].map((at) => [at, null])))
  // Known and in step beside unknown: nothing else is known.
  expect(await differing([of('1'), of('7'), of('2')])).toEqual(new Map([[1, null]]))
  const mixed = await differing([of('1'), ['2', 'other'], of('7'), of('6'), ['3', null], of('1'), ['1', 'other']])
  expect([...mixed.keys()].sort()).toEqual([1, 2, 3, 4, 6])
  expect(mixed.get(1)).toMatchObject({ state: 'accepted', requestId: expect.stringMatching(/^req_/), known: true })
  expect(mixed.get(2)).toBeNull()
  expect(mixed.get(3)).toMatchObject({ state: 'dead', requestId: null, known: false })
  // The same object twice, with what is accepted and with something else; and of two namespaces one.
  expect(await differing([of('1'), ['1', 'other']])).toMatchObject(new Map([[1, { state: 'accepted' }]]))
  expect(await differing([of('1'), of('1')])).toEqual(new Map())
  expect(await rig.comparison.differing('others', ['1'], [prints.get('1') ?? null])).toEqual(new Map([[0, null]]))
})
