/** @file Kubernetes' objects against its published schema, by a validator that needs no network. */
import { Job } from "kubernetes-models/batch/v1";
import { PersistentVolumeClaim } from "kubernetes-models/v1";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";

import {
  documents,
  gatherJob,
  indexedJob,
  volumeClaim,
  type KubernetesSubmission,
} from "../../../distill/cluster/kubernetes.ts";

const submission = {
  command: ["teach", "it's digits", "--experts", "8", "--out", "t"],
  folder: "t",
  ...{ name: "potstill-teach", passes: 1, tasks: 4, most: 2, cpus: 2, gpus: 1, memory: "8G" },
};

describe("Kubernetes' objects", () => {
  const job: KubernetesSubmission = {
    ...{ ...submission, image: "registry.example/potstill:1", storage: "100Gi" },
    ...{ storageClass: "shared", namespace: "lab" },
  };

  it.each([
    ["with GPUs", job],
    ["without", { ...submission, image: "potstill", storage: "1Gi", most: undefined, gpus: 0 }],
  ])("are of the published schema, %s", (_, each) => {
    const text = documents([volumeClaim(each), indexedJob(each), gatherJob(each)]);
    const [claim, work, gather] = parseAllDocuments(text).map(
      (document) => document.toJS() as object,
    );
    new PersistentVolumeClaim(claim).validate();
    new Job(work).validate();
    new Job(gather).validate();
    expect(work).toMatchObject({
      kind: "Job",
      spec: { completionMode: "Indexed", completions: 4, parallelism: each.most ?? 4 },
    });
  });

  it("that are not are refused by the validator", () => {
    const { spec, ...rest } = indexedJob(job);
    const wrong = { ...rest, spec: { ...spec, completions: "four" } };
    expect(() => new Job(wrong as never).validate()).toThrow(/completions/);
    const without = { ...rest, spec: { ...spec, template: { spec: { containers: [{}] } } } };
    expect(() => new Job(without as never).validate()).toThrow(/name/);
  });

  it("tell every task how many there are", () => {
    const [container] = indexedJob(job).spec.template.spec.containers;
    expect(container?.env).toContainEqual({ name: "JOB_COMPLETIONS", value: "4" });
  });
});
