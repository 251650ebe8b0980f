/** The requests of all designs wait at one point; then one signal reaches their process. */
export class Meeting {
  private arrived = 0;
  private left = 0;
  private readonly begun = new Deferred();
  private readonly over = new Deferred();

  constructor(private readonly company: number) {}

  async arrive(happen: () => void): Promise<void> {
    if (++this.arrived === this.company) {
      happen();
      this.begun.resolve();
    }
    await this.begun.promise;
  }

  async leave(happen: () => void): Promise<void> {
    if (++this.left === this.company) {
      happen();
      this.over.resolve();
    }
    await this.over.promise;
  }
}

class Deferred {
  resolve!: () => void;
  readonly promise = new Promise<void>((resolve) => (this.resolve = resolve));
}
