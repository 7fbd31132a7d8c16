import type { Json } from './resolved.js'
import type { ContentType, DisplayHintType } from './words.js'

/** How the API's console shows a field. */
export interface DisplayHint {
  readonly type: DisplayHintType
  /** Newer than the API's first contract: the label beside the value. */
  readonly name?: string
  /** Newer than the API's first contract: the place among the other fields. */
  readonly order?: number
}

/**
 * What the API is told of a field, in its own words, so that they can be copied from its documentation. They are pushed
 * with `PUT /v1/data/{namespace}/settings`.
 *
 * @example
 * ```ts
 * const image = { content_type: 'image_url', display_hint: { type: 'primary_image_url' } }
 * const seller = { namespace_ref: 'sellers' }
 * const newer = { unchecked: { content_type: 'hologram_url' } }
 * ```
 */
export interface ApiSettings {
  /** URLs are fetched and processed; `metadata` is stored and not indexed. Newer: `audio_url`, `card`. */
  readonly content_type?: ContentType
  readonly display_hint?: DisplayHint
  /** Characters of a text field, items of an array field; above 0. */
  readonly field_limit?: number
  /** The namespace that an id in this field refers to: letters, digits, `_` and `-`. */
  readonly namespace_ref?: string
  /** Newer than the API's first contract; passed on as it stands. */
  readonly belongs_to?: Json
  /**
   * Settings and words that the API has and this version does not know yet, passed on as they stand. Whatever is
   * written here is not checked.
   */
  readonly unchecked?: { readonly [setting: string]: Json }
}

/** A field that is sent, with settings. */
export interface FieldOptions extends ApiSettings {
  /** The name under which it is sent. Default: the field's own name. */
  readonly as?: string
}

/** `true` sends the field under its own name and says nothing more of it. */
export type FieldInput = true | FieldOptions

/** A field that is computed from the mapped row, sent under the name it stands under. */
export interface ComputedInput<Row> extends ApiSettings {
  /**
   * Has to give the same value for the same row, since only what differs is sent. A throw, or what is not JSON, parks
   * the object (`OBJECT_INVALID`) and harms no other.
   */
  readonly value: (row: Row) => Json
}

/**
 * How an object's id is made: a field, several fields, or these with how they are joined. Without `id` it is the primary
 * key, in the key's order.
 */
export type IdInput<FieldName> =
  | FieldName
  | readonly FieldName[]
  | {
      /** Default: the primary key. */
      readonly fields?: FieldName | readonly FieldName[]
      /** Between the values of several fields. Default: `':'`. */
      readonly join?: string
      /** Before the id, so that several tables can share a namespace. Default: none. */
      readonly prefix?: string
    }
