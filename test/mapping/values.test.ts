import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readTypes } from '../../src/mapping/types.js'
import { encoderFor } from '../../src/mapping/values.js'
import { text } from './literals.js'
import { rawQuery } from './raw.js'
import { asPostgresSays, openValueDoor, type ValueDoor } from './value-door.js'

let door: ValueDoor

beforeAll(async () => {
  door = await openValueDoor()
})

afterAll(() => door.close())

describe('text and structure', () => {
  test('text is the same text', async () => {
    await door.always('text', text, asPostgresSays)
    await door.always('citext', text, asPostgresSays)
    await door.always('varchar', text, ({ text, value }) => expect(value).toBe(text))
  })

  test('char(n) keeps its padding', async () => {
    expect(await door.one('char(5)', 'ab')).toBe('ab   ')
  })

  test('bool is a boolean', async () => {
    await door.always('bool', fc.constantFrom('t', 'f', null), asPostgresSays)
  })

  test('json and jsonb are the value itself, in one line', async () => {
    const json = fc
      .tuple(fc.json({ maxDepth: 4 }), fc.constantFrom(0, 2, '\t', '\r\n '))
      .map(([value, space]) => JSON.stringify(JSON.parse(value), null, space))
      .filter((value) => !/\\u0000|\\ud[89a-f]/i.test(value))
    const inOneLine = ({ json, value, answer }: { json: string; value: unknown; answer: string }) => {
      expect(json).not.toMatch(/[\r\n]/)
      expect(value).toEqual(JSON.parse(answer))
    }
    await door.always('jsonb', json, inOneLine)
    await door.always('json', json, inOneLine)
    const [result] = await door.sent('json', [' { "a\\" b" :\n[ 1 ,\t"x  \\\\" ] } '])
    expect(result!.json).toBe('{"a\\" b":[1,"x  \\\\"]}')
  })

  test('bytea is base64', async () => {
    const hex = fc.uint8Array({ maxLength: 200 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`)
    await door.always(
      'bytea',
      hex,
      ({ value, answer }) => expect(value).toBe(answer),
      "replace(encode(v, 'base64'), E'\\n', '')",
    )
  })

  test.each([
    ['uuid', ['9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d']],
    ['date', ['2024-02-29', 'infinity', '0044-03-15 BC', '12024-01-01']],
    ['time', ['12:34:56.789', '24:00:00']],
    ['timetz', ['12:34:56.789+05:30']],
    ['interval', ['1 year -2 mons 3 days 04:05:06.789', '-00:00:01']],
    ['inet', ['192.168.0.1', '10.0.0.0/8', '::1']],
    ['cidr', ['10.0.0.0/8']],
    ['macaddr', ['08:00:2b:01:02:03']],
    ['xml', ['<a b="c">d &amp; e</a>']],
    ['bit(4)', ['1010']],
    ['varbit', ['', '101']],
    ['money', ['1234.5', '-1']],
    ['int4range', ['[1,5)', 'empty']],
    ['tstzrange', ['[2024-01-01 00:00:00+00,)']],
    ['int4multirange', ['{[1,3),[5,7)}']],
    ['span', ['[1.5,2.5]']],
    ['mood', ['sad', 'so, "so"', 'NULL']],
    ['point', ['(1,2)']],
    ['box', ['(3,3),(1,1)']],
    ['tsvector', ["'a':1 'b':2"]],
    ['pg_lsn', ['16/B374D848']],
    ['oid', ['4294967295']],
    ['name', ['abc']],
    ['"char"', ['x']],
  ])('%s is its text', async (type, literals) => {
    for (const { text, value, answer } of await door.sent(type, literals)) {
      expect(value).toBe(text)
      expect(value).toBe(JSON.parse(answer))
    }
  })

  test('a composite is its text, and so are vectors and the types of extensions', async () => {
    expect(await door.one('hstore', 'a=>1')).toBe('"a"=>"1"')
    expect(await door.one('pair[]', '{"(1,\\"a \\"\\"b\\"\\"\\")",NULL}')).toEqual(['(1,"a ""b""")', null])
    expect(await door.one('pair', '(1,"a ""b""")')).toBe('(1,"a ""b""")')
    expect(await door.one('int2vector', '1 2 3')).toBe('1 2 3')
    expect(await door.one('oidvector', '1 2')).toBe('1 2')
  })
})

describe('types that were made by someone', () => {
  test('a domain is its base type, through domains over domains and over arrays', async () => {
    // A result's column says the base type's OID for a domain, so the domains' OIDs are asked for.
    const oid = async (name: string) =>
      Number((await rawQuery(door.client, `SELECT '${name}'::regtype::oid`)).rows[0]![0])
    expect(encoderFor(await oid('list_price'), door.types)!('12.50')).toBe('12.5')
    expect(encoderFor(await oid('tags'), door.types)!('{a,"b c"}')).toBe('["a","b c"]')
    expect(encoderFor(await oid('moment'), door.types)!('2024-01-01 00:00:00+00')).toBe('"2024-01-01T00:00:00.000Z"')
    expect(encoderFor(await oid('tags[]'), door.types)!('{"{a,NULL}","{\\"b c\\"}"}')).toBe('[["a",null],["b c"]]')
  })

  test('a type that was made after the catalogue was read has no encoder, nor has an array of it', async () => {
    await door.client.query("CREATE TYPE late AS ENUM ('x')")
    const { types: oids } = await rawQuery(door.client, "SELECT 'x'::late, '{x}'::late[]")
    expect(oids.map((oid) => encoderFor(oid, door.types))).toEqual([undefined, undefined])
    const reread = await readTypes(door.client)
    expect(oids.map((oid, i) => encoderFor(oid, reread)!(['x', '{x}'][i]!))).toEqual(['"x"', '["x"]'])
  })
})
