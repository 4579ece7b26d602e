#!/bin/bash
# A sweep over the nodes of a Slurm allocation: starts a Ray cluster for the time of the job, and `bench run` on it.
#
#   sbatch examples/cluster/slurm.sh
#
# The repository, data, results and the home folder, where Ray stores the token that authenticates the nodes, must be on
# a file system that the nodes share. If the job reaches its time limit, submit it again: finished runs are kept.
#
# Without Ray: several commands may share a results folder, so an array job works too. Set `--array=1-8` and `--nodes=1`
# below, and replace everything after `source` by the last command without `--executor ray` and the --*-per-run options.

#SBATCH --job-name=crossmodal-bench
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-task=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=B:INT@120

set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}"
source .venv/bin/activate
export RAY_USAGE_STATS_ENABLED=0 SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
ray get-auth-token --generate > /dev/null

mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts[0]}
port=$((20000 + SLURM_JOB_ID % 10000)) # different for each job, so that two jobs may share a node
resources=(--num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "${SLURM_GPUS_PER_TASK:-0}")

# One process starts the head, and the others join it; all end with the job.
srun --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --port="$port" --include-dashboard=false "${resources[@]}" --block &
sleep 30
if ((SLURM_NNODES > 1)); then
    srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$head" \
        ray start --address="$head:$port" "${resources[@]}" --block &
fi

# The command runs on the first node and finds the cluster's head there. `exec` lets it receive the signal set above.
RAY_ADDRESS="$head:$port" exec python -m bench run --executor ray --suite full --methods lora,cola \
    --tasks refcoco --seeds 0,1,2,3,4 --data-root "$HOME/data" --results results/full \
    --gpus-per-run 1 --cpus-per-run 8 --memory-per-run 32GB
