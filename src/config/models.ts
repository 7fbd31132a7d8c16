// What a Prisma client's type says of its models. Nothing is imported from Prisma, which is an optional peer: both
// generators, and extended clients too, carry the models in a symbol-keyed member of each delegate. Its
// `meta.name` is missing on extended delegates, so the name is taken from the payload.

import type { Json } from './resolved.js'

/** A Prisma client, plain or extended, of either generator. */
export interface PrismaClientLike {
  readonly $extends: unknown
}

interface ModelTypes {
  readonly payload: { readonly name: string; readonly scalars: object }
  readonly fields: object
}

type ModelTypesOf<Delegate> = Delegate extends {
  readonly [key: symbol]: { readonly types: infer T extends ModelTypes }
}
  ? T
  : never

/** The models of a client: model → scalar field → the JSON type of its values. */
export type Models<Client> = {
  [Property in Extract<keyof Client, string> as ModelTypesOf<Client[Property]>['payload']['name']]: ScalarFields<
    ModelTypesOf<Client[Property]>
  >
}

// `fields` holds the columns only, with Prisma's word for their type. `scalars`, which alone knows nullability and
// the words of an enum, also holds the computed fields of result extensions, and these may change the type of a column.
type ScalarFields<Model extends ModelTypes> = {
  [Name in Extract<keyof Model['fields'] & keyof Model['payload']['scalars'], string>]: JsonOfField<
    Model['fields'][Name] extends { readonly typeName: infer TypeName } ? TypeName : never,
    Model['payload']['scalars'][Name]
  >
}

type JsonOfField<TypeName, Scalar> = TypeName extends `${infer Element}[]`
  ? readonly JsonOfType<Element, Scalar extends readonly (infer Item)[] ? Item : never>[]
  : JsonOfType<TypeName, Scalar> | (null extends Scalar ? null : never)

type JsonOfType<TypeName, Scalar> = TypeName extends 'String' | 'DateTime' | 'Bytes'
  ? string
  : TypeName extends 'Int' | 'Float'
    ? number
    : TypeName extends 'BigInt' | 'Decimal'
      ? number | string
      : TypeName extends 'Boolean'
        ? boolean
        : TypeName extends 'Json'
          ? Json
          : EnumWords<Scalar>

// What is sent is the database's word for the value, which an `@map` on it makes another one than Prisma's; no type
// of the client knows it. So Prisma's words are offered, and others can be compared with.
type EnumWords<Scalar> = Extract<Scalar, string> | (string & {})

/** What a client's types say of the models of these names: model → what `$safetykit` can be asked by. */
export type AskedModels<Client, Name> = {
  readonly [Property in Extract<keyof Client, string> as Extract<
    ModelTypesOf<Client[Property]>['payload']['name'],
    Name
  >]: AskedModel<ModelTypesOf<Client[Property]>>
}

// Each member is an alias that is resolved only where it is used: `where` alone is a large type in any client.
interface AskedModel<Model extends ModelTypes> {
  /** Prisma's own `where` of the model. */
  readonly where: WhereOf<Model>
  /** The fields that have a column, as the client hands them out. */
  readonly key: KeyOf<Model>
}

type WhereOf<Model> = Model extends {
  readonly operations: { readonly findMany: { readonly args: { where?: infer Where } } }
}
  ? NonNullable<Where>
  : never

type KeyOf<Model extends ModelTypes> = {
  readonly [Name in Extract<keyof Model['fields'] & keyof Model['payload']['scalars'], string>]?:
    | Model['payload']['scalars'][Name]
    | OtherWriting<Model['fields'][Name]>
}

/**
 * Other ways to write a value, so that a row will do of which an extension has changed the types. Text stays as it is, and
 * so the words of an enum stay checked.
 */
type OtherWriting<FieldRef> = FieldRef extends { readonly typeName: 'Int' | 'BigInt' | 'Float' | 'Decimal' }
  ? string | number | bigint
  : FieldRef extends { readonly typeName: 'DateTime' }
    ? string
    : never
