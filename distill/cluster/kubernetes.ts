/** @file Kubernetes: a divided command as an Indexed Job with a volume claim, and a job that gathers. */
import { stringify } from "yaml";

import { COMPLETIONS } from "./shard.ts";
import type { Submission } from "./submission.ts";

export interface KubernetesSubmission extends Submission {
  readonly image: string;
  /** Of the shared volume, as Kubernetes writes it: 100Gi. */
  readonly storage: string;
  readonly storageClass?: string | undefined;
  readonly namespace?: string | undefined;
}

/** Where the shared volume is in every container; commands start there. */
const MOUNT = "/mnt/potstill";
/** Seconds between the signal and the end: work saves within 10. */
const GRACE = 60;
/** How often a task may fail by itself; those whose node was taken away don't count. */
const TRIES = 5;

const labels = ({ name }: Submission) => ({ "app.kubernetes.io/name": "potstill", job: name });
const metadata = (job: KubernetesSubmission, name: string) => ({
  name,
  ...(job.namespace !== undefined && { namespace: job.namespace }),
  labels: labels(job),
});

/** The claim of the volume that all tasks share. */
export const volumeClaim = (job: KubernetesSubmission) => ({
  apiVersion: "v1" as const,
  kind: "PersistentVolumeClaim" as const,
  metadata: metadata(job, job.name),
  spec: {
    accessModes: ["ReadWriteMany"],
    resources: { requests: { storage: job.storage } },
    ...(job.storageClass !== undefined && { storageClassName: job.storageClass }),
  },
});

function podOf(
  job: KubernetesSubmission,
  args: readonly string[],
  resources: { requests: Record<string, string>; limits: Record<string, string | number> },
  env: readonly { name: string; value: string }[],
) {
  return {
    metadata: { labels: labels(job) },
    spec: {
      restartPolicy: "Never" as const,
      terminationGracePeriodSeconds: GRACE,
      containers: [
        {
          name: "potstill",
          image: job.image,
          args: [...args],
          workingDir: MOUNT,
          env: [...env, { name: "POTSTILL_DATA", value: `${MOUNT}/data` }],
          resources,
          volumeMounts: [{ name: "work", mountPath: MOUNT }],
        },
      ],
      volumes: [{ name: "work", persistentVolumeClaim: { claimName: job.name } }],
    },
  };
}

/** Where a node is drained or preempted the pod is made anew, and counts as no failure. */
const podFailurePolicy = {
  rules: [{ action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] }],
};

/** The job of all tasks. Kubernetes tells each its index; how many there are stands in the template. */
export const indexedJob = (job: KubernetesSubmission, name = job.name) => ({
  apiVersion: "batch/v1" as const,
  kind: "Job" as const,
  metadata: metadata(job, name),
  spec: {
    completionMode: "Indexed",
    completions: job.tasks,
    parallelism: Math.min(job.tasks, job.most ?? job.tasks),
    backoffLimitPerIndex: TRIES,
    maxFailedIndexes: job.tasks,
    podFailurePolicy,
    template: podOf(
      job,
      job.command,
      {
        requests: { cpu: String(job.cpus), memory: binary(job.memory) },
        limits: {
          memory: binary(job.memory),
          ...(job.gpus > 0 && { "nvidia.com/gpu": job.gpus }),
        },
      },
      [{ name: COMPLETIONS, value: String(job.tasks) }],
    ),
  },
});

/** The job that gathers: it fails where units are missing. */
export const gatherJob = (job: KubernetesSubmission) => ({
  apiVersion: "batch/v1" as const,
  kind: "Job" as const,
  metadata: metadata(job, `${job.name}-gather`),
  spec: {
    backoffLimit: 0,
    template: podOf(
      job,
      ["gather", job.folder],
      { requests: { cpu: "1", memory: "1Gi" }, limits: { memory: "2Gi" } },
      [],
    ),
  },
});

/** 8G, which Slurm takes for powers of two, as 8Gi. */
const binary = (memory: string): string => memory.replace(/([KMGT])$/, "$1i");

/** Objects as the documents of a YAML file. */
export const documents = (objects: readonly object[]): string =>
  objects.map((object) => stringify(object)).join("---\n");
