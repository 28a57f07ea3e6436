// SPDX-License-Identifier: Apache-2.0
// Reads the small files of a data directory with Apache Kafka's own classes, because its dump tool has no words for them:
// meta.properties of the directory, partition.metadata and leader-epoch-checkpoint of each partition. Prints a line for each
// fact; a file that Kafka refuses ends the program with Kafka's exception.

import java.io.File;
import java.util.Arrays;
import org.apache.kafka.metadata.properties.MetaProperties;
import org.apache.kafka.metadata.properties.PropertiesUtils;
import org.apache.kafka.storage.internals.checkpoint.LeaderEpochCheckpointFile;
import org.apache.kafka.storage.internals.checkpoint.PartitionMetadataFile;
import org.apache.kafka.storage.internals.log.EpochEntry;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;

public final class Checkpoints {
    public static void main(String[] arguments) throws Exception {
        File data = new File(arguments[0]);
        LogDirFailureChannel failures = new LogDirFailureChannel(1);
        String properties = new File(data, "meta.properties").getPath();
        System.out.println(new MetaProperties.Builder(PropertiesUtils.readPropertiesFile(properties)).build());
        File[] partitions = data.listFiles(file -> file.isDirectory() && file.getName().matches(".*-\\d+"));
        Arrays.sort(partitions);
        for (File partition : partitions) {
            PartitionMetadataFile metadata = new PartitionMetadataFile(PartitionMetadataFile.newFile(partition), failures);
            System.out.printf("%s topic %s%n", partition.getName(), metadata.read().topicId());
            LeaderEpochCheckpointFile epochs =
                new LeaderEpochCheckpointFile(LeaderEpochCheckpointFile.newFile(partition), failures);
            for (EpochEntry entry : epochs.read()) {
                System.out.printf("%s epoch %d from %d%n", partition.getName(), entry.epoch(), entry.startOffset());
            }
        }
    }
}
