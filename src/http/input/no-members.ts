/** The body of a route that takes nothing: every member is unknown. */
export class NoMembers {}
